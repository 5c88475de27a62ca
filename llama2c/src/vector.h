// Four floats as Xenon's vector unit computes them, with the instructions' names after the AltiVec PEM. On PowerPC
// each function is one instruction; elsewhere it is the same arithmetic in plain C, so that both give the same bits.
#ifndef VECTOR_H
#define VECTOR_H

#include <stdint.h>

#ifdef __ALTIVEC__

#include <altivec.h>

typedef vector float Vector;
typedef vector unsigned int Vector_Words;
typedef vector signed int Vector_Integers;
typedef vector signed short Vector_Halves;
typedef vector signed char Vector_Bytes;

static inline Vector vector_zero(void)
{
    return (Vector){0.0f, 0.0f, 0.0f, 0.0f};
}

// lvx: address must be a multiple of 16, the low four bits are ignored.
static inline Vector lvx(const float *address)
{
    return vec_ld(0, address);
}

static inline Vector vmaddfp(Vector a, Vector b, Vector c)
{
    return vec_madd(a, b, c);
}

static inline Vector vaddfp(Vector a, Vector b)
{
    return vec_add(a, b);
}

static inline Vector vnmsubfp(Vector a, Vector b, Vector c)
{
    return vec_nmsub(a, b, c);
}

static inline Vector vsubfp(Vector a, Vector b)
{
    return vec_sub(a, b);
}

static inline void stvx(float *address, Vector v)
{
    vec_st(v, 0, address);
}

// stvewx: the lane that stands where the address does in its 16 bytes.
static inline void stvewx(float *address, Vector v)
{
    vec_ste(v, 0, address);
}

static inline Vector vcmpgtfp(Vector a, Vector b)
{
    return (Vector)vec_cmpgt(a, b);
}

static inline Vector vand(Vector a, Vector b)
{
    return (Vector)((Vector_Words)a & (Vector_Words)b);
}

// a & ~b
static inline Vector vandc(Vector a, Vector b)
{
    return (Vector)((Vector_Words)a & ~(Vector_Words)b);
}

static inline Vector vsel(Vector a, Vector b, Vector mask)
{
    return vec_sel(a, b, (Vector_Words)mask);
}

static inline Vector vadduwm(Vector a, Vector b)
{
    return (Vector)((Vector_Words)a + (Vector_Words)b);
}

static inline Vector vsubuwm(Vector a, Vector b)
{
    return (Vector)((Vector_Words)a - (Vector_Words)b);
}

static inline Vector vslw(Vector a, Vector b)
{
    return (Vector)vec_sl((Vector_Words)a, (Vector_Words)b);
}

static inline Vector vmrghw(Vector a, Vector b)
{
    return vec_mergeh(a, b);
}

static inline Vector vmrglw(Vector a, Vector b)
{
    return vec_mergel(a, b);
}

// The first and the last half of 16 bytes with sign, as halfwords; of eight halfwords, as words.
static inline Vector vupkhsb(Vector v)
{
    return (Vector)vec_unpackh((Vector_Bytes)v);
}

static inline Vector vupklsb(Vector v)
{
    return (Vector)vec_unpackl((Vector_Bytes)v);
}

static inline Vector vupkhsh(Vector v)
{
    return (Vector)vec_unpackh((Vector_Halves)v);
}

static inline Vector vupklsh(Vector v)
{
    return (Vector)vec_unpackl((Vector_Halves)v);
}

// vmrghh and vmrglh with zeros: the first and the last half of eight halfwords, each the upper half of a word.
static inline Vector vector_upper_early(Vector v)
{
    return (Vector)vec_mergeh((Vector_Halves)v, (Vector_Halves)vector_zero());
}

static inline Vector vector_upper_late(Vector v)
{
    return (Vector)vec_mergel((Vector_Halves)v, (Vector_Halves)vector_zero());
}

static inline Vector vsububm(Vector a, Vector b)
{
    return (Vector)((Vector_Bytes)a - (Vector_Bytes)b);
}

static inline Vector vsrb(Vector a, Vector b)
{
    return (Vector)vec_sr((vector unsigned char)a, (vector unsigned char)b);
}

static inline Vector vor(Vector a, Vector b)
{
    return (Vector)((Vector_Words)a | (Vector_Words)b);
}

static inline Vector vcmpequw(Vector a, Vector b)
{
    return (Vector)vec_cmpeq((Vector_Words)a, (Vector_Words)b);
}

// vcfsx: words with sign over 2 to the power of `places`.
#define vcfsx(v, places) vec_ctf((Vector_Integers)(v), places)
#define vspltisb(value) ((Vector)vec_splat_s8(value))

// vperm, vand, vcmpequb: bytes of ones where the bits of a word are, which all lanes hold; bit 16 half first.
static inline Vector vector_spread_bits(Vector word, int half)
{
    static const vector unsigned char PLACES[2] = {{3, 3, 3, 3, 3, 3, 3, 3, 2, 2, 2, 2, 2, 2, 2, 2},
                                                   {1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0}};
    static const vector unsigned char BITS = {1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128};
    return (Vector)vec_cmpeq((vector unsigned char)vec_perm(word, word, PLACES[half]) & BITS, BITS);
}

#define vspltw(v, lane) vec_splat(v, lane)
#define vspltisw(value) ((Vector)vec_splat_s32(value))

// vperm: both lanes of each pair in each other's place.
static inline Vector vector_swap_pairs(Vector v)
{
    static const vector unsigned char SWAPPED = {4, 5, 6, 7, 0, 1, 2, 3, 12, 13, 14, 15, 8, 9, 10, 11};
    return vec_perm(v, v, SWAPPED);
}

// vsldoi by 4 bytes: lanes 1, 2, 3 and 0.
static inline Vector vector_turn(Vector v)
{
    return vec_sld(v, v, 4);
}

// vsldoi by 8 bytes.
static inline Vector vector_swap_halves(Vector v)
{
    return vec_sld(v, v, 8);
}

static inline float vector_lane(Vector v, int lane)
{
    return v[lane];
}

#else

typedef union {
    float lane[4];
    uint32_t words[4];
    int16_t halves[8];
    uint8_t bytes[16];
} Vector;

static inline Vector vector_zero(void)
{
    return (Vector){{0.0f, 0.0f, 0.0f, 0.0f}};
}

static inline Vector lvx(const float *address)
{
    return (Vector){{address[0], address[1], address[2], address[3]}};
}

// VSCR.NJ = 1: a denormal is read as, and a denormal result becomes, a zero of its sign.
static inline double vector_flush(double x)
{
    return x > -0x1p-126 && x < 0x1p-126 ? __builtin_copysign(0.0, x) : x;
}

// a * b + c, rounded once: the product is exact in double, and the sum is rounded to odd there (Boldo and
// Melquiond, 2008), so that the second rounding, to float, sees on which side of a tie it is.
static inline float vector_fused(float a, float b, float c)
{
    double x = vector_flush((double)a) * vector_flush((double)b);
    double y = vector_flush((double)c);
    union {
        double value;
        int64_t bits;
    } sum = {.value = x + y};
    double from_y = sum.value - x;
    double error = (x - (sum.value - from_y)) + (y - from_y);
    if (error != 0.0 && error == error && !(sum.bits & 1)) {
        sum.bits += (error > 0.0) == (sum.value > 0.0) ? 1 : -1;
    }
    return (float)vector_flush(sum.value);
}

static inline Vector vmaddfp(Vector a, Vector b, Vector c)
{
    Vector result;
    for (int i = 0; i < 4; i++) {
        result.lane[i] = vector_fused(a.lane[i], b.lane[i], c.lane[i]);
    }
    return result;
}

static inline Vector vaddfp(Vector a, Vector b)
{
    Vector result;
    for (int i = 0; i < 4; i++) {
        double sum = vector_flush((double)a.lane[i]) + vector_flush((double)b.lane[i]);
        result.lane[i] = (float)vector_flush(sum);
    }
    return result;
}

static inline Vector vnmsubfp(Vector a, Vector b, Vector c)
{
    Vector result;
    for (int i = 0; i < 4; i++) {
        result.lane[i] = -vector_fused(a.lane[i], b.lane[i], -c.lane[i]);
    }
    return result;
}

static inline Vector vsubfp(Vector a, Vector b)
{
    Vector result;
    for (int i = 0; i < 4; i++) {
        double difference = vector_flush((double)a.lane[i]) - vector_flush((double)b.lane[i]);
        result.lane[i] = (float)vector_flush(difference);
    }
    return result;
}

static inline void stvx(float *address, Vector v)
{
    for (int i = 0; i < 4; i++) {
        address[i] = v.lane[i];
    }
}

static inline void stvewx(float *address, Vector v)
{
    *address = v.lane[(uintptr_t)address / sizeof(float) % 4];
}

static inline Vector vcmpgtfp(Vector a, Vector b)
{
    Vector result;
    for (int i = 0; i < 4; i++) {
        result.words[i] = vector_flush((double)a.lane[i]) > vector_flush((double)b.lane[i]) ? UINT32_MAX : 0;
    }
    return result;
}

#define VECTOR_OF_WORDS(name, expression)                \
    static inline Vector name(Vector a, Vector b)        \
    {                                                    \
        Vector result;                                   \
        for (int i = 0; i < 4; i++) {                    \
            uint32_t x = a.words[i], y = b.words[i];     \
            result.words[i] = expression;                \
        }                                                \
        return result;                                   \
    }
VECTOR_OF_WORDS(vand, x & y)
VECTOR_OF_WORDS(vadduwm, x + y)
VECTOR_OF_WORDS(vsubuwm, x - y)
VECTOR_OF_WORDS(vslw, x << (y & 31))
VECTOR_OF_WORDS(vor, x | y)
VECTOR_OF_WORDS(vcmpequw, x == y ? UINT32_MAX : 0)

static inline Vector vandc(Vector a, Vector b)
{
    Vector result;
    for (int i = 0; i < 4; i++) {
        result.words[i] = a.words[i] & ~b.words[i];
    }
    return result;
}

static inline Vector vsel(Vector a, Vector b, Vector mask)
{
    Vector result;
    for (int i = 0; i < 4; i++) {
        result.words[i] = (a.words[i] & ~mask.words[i]) | (b.words[i] & mask.words[i]);
    }
    return result;
}

#define VECTOR_OF_BYTES(name, expression)            \
    static inline Vector name(Vector a, Vector b)    \
    {                                                \
        Vector result;                               \
        for (int i = 0; i < 16; i++) {               \
            uint8_t x = a.bytes[i], y = b.bytes[i];  \
            result.bytes[i] = (uint8_t)(expression); \
        }                                            \
        return result;                               \
    }
VECTOR_OF_BYTES(vsububm, x - y)
VECTOR_OF_BYTES(vsrb, x >> (y & 7))

static inline Vector vector_halves_of(const uint8_t *bytes)
{
    Vector result;
    for (int i = 0; i < 8; i++) {
        result.halves[i] = (int8_t)bytes[i];
    }
    return result;
}

static inline Vector vector_words_of(const int16_t *halves)
{
    Vector result;
    for (int i = 0; i < 4; i++) {
        result.words[i] = (uint32_t)(int32_t)halves[i];
    }
    return result;
}

static inline Vector vupkhsb(Vector v)
{
    return vector_halves_of(v.bytes);
}

static inline Vector vupklsb(Vector v)
{
    return vector_halves_of(v.bytes + 8);
}

static inline Vector vupkhsh(Vector v)
{
    return vector_words_of(v.halves);
}

static inline Vector vupklsh(Vector v)
{
    return vector_words_of(v.halves + 4);
}

static inline Vector vector_upper_of(const int16_t *halves)
{
    Vector result;
    for (int i = 0; i < 4; i++) {
        result.words[i] = (uint32_t)(uint16_t)halves[i] << 16;
    }
    return result;
}

static inline Vector vector_upper_early(Vector v)
{
    return vector_upper_of(v.halves);
}

static inline Vector vector_upper_late(Vector v)
{
    return vector_upper_of(v.halves + 4);
}

static inline Vector vcfsx(Vector v, int places)
{
    Vector result;
    for (int i = 0; i < 4; i++) {
        result.lane[i] = (float)(int32_t)v.words[i] / (float)(1u << places);
    }
    return result;
}

static inline Vector vspltisb(int value)
{
    Vector result;
    for (int i = 0; i < 16; i++) {
        result.bytes[i] = (uint8_t)value;
    }
    return result;
}

static inline Vector vector_spread_bits(Vector word, int half)
{
    Vector result;
    for (int i = 0; i < 16; i++) {
        result.bytes[i] = word.words[0] >> (16 * half + i) & 1 ? 0xff : 0;
    }
    return result;
}

static inline Vector vmrghw(Vector a, Vector b)
{
    return (Vector){{a.lane[0], b.lane[0], a.lane[1], b.lane[1]}};
}

static inline Vector vmrglw(Vector a, Vector b)
{
    return (Vector){{a.lane[2], b.lane[2], a.lane[3], b.lane[3]}};
}

static inline Vector vspltw(Vector v, int lane)
{
    return (Vector){{v.lane[lane], v.lane[lane], v.lane[lane], v.lane[lane]}};
}

static inline Vector vspltisw(int32_t value)
{
    uint32_t word = (uint32_t)value;
    return (Vector){.words = {word, word, word, word}};
}

static inline Vector vector_swap_pairs(Vector v)
{
    return (Vector){{v.lane[1], v.lane[0], v.lane[3], v.lane[2]}};
}

static inline Vector vector_turn(Vector v)
{
    return (Vector){{v.lane[1], v.lane[2], v.lane[3], v.lane[0]}};
}

static inline Vector vector_swap_halves(Vector v)
{
    return (Vector){{v.lane[2], v.lane[3], v.lane[0], v.lane[1]}};
}

static inline float vector_lane(Vector v, int lane)
{
    return v.lane[lane];
}

#endif

// All four lanes the same.
static inline Vector vector_of(float value)
{
    _Alignas(16) float lanes[4] = {value, value, value, value};
    return lvx(lanes);
}

// The same 16 bytes, whatever they are; address must be a multiple of 16.
static inline Vector vector_load(const void *address)
{
    return lvx(address);
}

static inline Vector vector_of_word(uint32_t word)
{
    union {
        uint32_t word;
        float value;
    } bits = {.word = word};
    return vector_of(bits.value);
}

// a * b: vmaddfp with nothing to add.
static inline Vector vector_product(Vector a, Vector b)
{
    return vmaddfp(a, b, vector_zero());
}

// The sum of the lanes, (0 + 1) + (2 + 3), in each of them.
static inline Vector vector_sum_in_lanes(Vector v)
{
    Vector pairs = vaddfp(v, vector_turn(v));
    return vspltw(vaddfp(pairs, vector_swap_halves(pairs)), 0);
}

static inline float vector_sum(Vector v)
{
    return vector_lane(vector_sum_in_lanes(v), 0);
}

// The same into memory, without a way through it.
static inline void vector_store_sum(float *address, Vector v)
{
    stvewx(address, vector_sum_in_lanes(v));
}

// Those of four vectors, each as above.
static inline Vector vector_sums(Vector a, Vector b, Vector c, Vector d)
{
    Vector ac0 = vmrghw(a, c), ac1 = vmrglw(a, c), bd0 = vmrghw(b, d), bd1 = vmrglw(b, d);
    Vector first = vaddfp(vmrghw(ac0, bd0), vmrglw(ac0, bd0));
    return vaddfp(first, vaddfp(vmrghw(ac1, bd1), vmrglw(ac1, bd1)));
}

#endif
