# Where XeLL starts the program: thread 0 at its first byte, threads 1 to 5 at +0x60, all in 64-bit real mode.
# XeLL writes 12 bytes at +8. `pack` writes where the files are at +0x20.
    .machine "970"
    .abiversion 2

    .macro set_toc                  # changes LR
    bl      900f
900: mflr   2
    addis   2, 2, .TOC.-900b@ha
    addi    2, 2, .TOC.-900b@l
    .endm

    .section .text.start, "ax", @progbits
    .globl _start
    .type _start, @function
_start:
    b       first_thread
    .org    _start + 0x18
    .ascii  "XLLMPRG1"              # how `pack` knows the program
    .globl xell_files
xell_files:
    .quad   0, 0                    # where they are, bytes
    .org    _start + 0x60
    b       next_thread
    .size _start, . - _start

    .type first_thread, @function
first_thread:                       # r3: the device tree
    mr      30, 3
    bl      prepare
    set_toc
    addis   1, 2, first_stack_end@toc@ha
    addi    1, 1, first_stack_end@toc@l
    li      0, 0
    stdu    0, -32(1)               # back chain 0: the outermost frame
    mr      3, 30
    bl      xell_main
    nop
    b       stop
    .size first_thread, . - first_thread

    .type next_thread, @function
next_thread:                        # r3: the thread's number
    mr      30, 3
    bl      prepare
    set_toc
    addi    5, 30, -1
    cmpldi  5, 4
    bgt     stop
    addis   4, 2, xell_mailboxes@toc@ha
    addi    4, 4, xell_mailboxes@toc@l
    sldi    5, 30, 7
    add     30, 4, 5
    li      5, 1
    stw     5, 0(30)                # arrived
1:  or      31, 31, 31              # very low priority
    lwz     5, 4(30)                # ended
    cmpwi   5, 0
    bne     stop
    ld      1, 8(30)                # stack_end
    cmpdi   1, 0
    beq     1b                      # none, or the last task has ended
    or      2, 2, 2                 # medium priority
    lwsync
    li      0, 0
    stdu    0, -32(1)
    mr      3, 30
    bl      xell_run_thread
    nop
    b       1b
    .size next_thread, . - next_thread

    .type prepare, @function
prepare:                            # floating point and vectors on, denormals are zero for vectors, FPSCR 0
    mfmsr   0
    ori     0, 0, 0x2000
    oris    0, 0, 0x0200
    mtmsrd  0
    isync
    vspltisw 0, 1
    vspltisw 1, 8
    vslw    0, 0, 1
    vslw    0, 0, 1                 # 0x00010000: NJ
    mtvscr  0
    .irp    field, 0, 1, 2, 3, 4, 5, 6, 7
    mtfsfi  \field, 0
    .endr
    blr
    .size prepare, . - prepare

    .globl stop
    .type stop, @function
stop:                               # CTRL 0: the thread sleeps for good
    or      31, 31, 31
    li      0, 0
    mtspr   152, 0
1:  b       1b
    .size stop, . - stop

    .globl call_on_stack
    .type call_on_stack, @function
call_on_stack:                      # (stack end, function): never returns
    mr      1, 3
    li      0, 0
    stdu    0, -32(1)
    mr      12, 4
    mtctr   4
    bctrl
    b       stop
    .size call_on_stack, . - call_on_stack

    .globl time_base
    .type time_base, @function
time_base:                          # the low half may read 0 while it wraps: at most four looks
    li      4, 4
    mtctr   4
1:  mftb    3
    clrldi. 4, 3, 32
    bne     2f
    bdnz    1b
2:  blr
    .size time_base, . - time_base

# Probes: each instruction that is an exception is passed over (xell.h).
    .globl probe_dcbz
    .type probe_dcbz, @function
probe_dcbz:
    dcbz    0, 3
    blr
    .size probe_dcbz, . - probe_dcbz

    .globl probe_dcbzl
    .type probe_dcbzl, @function
probe_dcbzl:
    .long   0x7c201fec              # dcbzl 0, 3
    blr
    .size probe_dcbzl, . - probe_dcbzl

    .globl probe_reservation
    .type probe_reservation, @function
probe_reservation:
    lwarx   4, 0, 3
    addi    4, 4, 1
    stwcx.  4, 0, 3
    blr
    .size probe_reservation, . - probe_reservation

# Copied to each vector, with the vector's address in the second instruction and the last one made absolute.
    .globl vector_stub
vector_stub:
    mtspr   272, 3                  # SPRG0
    li      3, 0
    b       take_exception

    .globl take_exception
    .type take_exception, @function
take_exception:                     # r3: the vector; LR is still the program's
    mtspr   273, 3
    mtspr   274, 1
    mfspr   3, 1023                 # the thread
    lis     1, exception_frames@ha
    la      1, exception_frames@l(1)
    mulli   3, 3, 4096
    add     1, 1, 3
    .irp    n, 0, 2, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31
    std     \n, 8*\n(1)
    .endr
    mfspr   3, 274
    std     3, 8*1(1)
    mfspr   3, 272
    std     3, 8*3(1)
    mfspr   3, 273                  # the vector
    std     3, 8*32(1)
    mfspr   3, 1023
    std     3, 8*33(1)
    mfspr   3, 26                   # SRR0
    std     3, 8*34(1)
    mfspr   3, 27                   # SRR1
    std     3, 8*35(1)
    mfspr   3, 19                   # DAR
    std     3, 8*36(1)
    mfspr   3, 18                   # DSISR
    std     3, 8*37(1)
    mflr    3
    std     3, 8*38(1)
    mfctr   3
    std     3, 8*39(1)
    mfcr    3
    std     3, 8*40(1)
    mfxer   3
    std     3, 8*41(1)
    mr      30, 1
    bl      prepare
    set_toc
    addi    1, 30, 4096 - 64
    li      0, 0
    stdu    0, -32(1)
    mr      3, 30
    bl      xell_exception          # comes back for a probe, behind whose instruction it goes on
    nop
    ld      3, 8*34(30)
    addi    3, 3, 4
    mtspr   26, 3
    ld      3, 8*35(30)
    mtspr   27, 3
    ld      3, 8*38(30)
    mtlr    3
    ld      3, 8*39(30)
    mtctr   3
    ld      3, 8*40(30)
    mtcr    3
    ld      3, 8*41(30)
    mtxer   3
    .irp    n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 31, 30
    ld      \n, 8*\n(30)
    .endr
    rfid
    .size take_exception, . - take_exception

    .bss
    .balign 128
exception_frames:                   # a page for each thread: what its registers hold, and a stack
    .space  6 * 4096
    .space  16384
first_stack_end:
    .section .note.GNU-stack, "", @progbits
