"""A program of our own for the Commodore 64: rows fetched from the RAM expansion and multiplied, in the
arithmetic of xenon/c64/oscar64.py.
"""

from __future__ import annotations

from assembler import basic_program

# Two floats at F1 and F2, each unpacked to a mantissa in three bytes, sign and exponent; the result is at R.
_FLOATS = """
unpack: LDA F1+3 : AND #$80 : STA S1 : LDA F1+2 : ASL A : LDA F1+3 : ROL A : STA E1
        LDA F1+2 : AND #$7F : LDX E1 : BEQ small1 : ORA #$80
small1: STA F1+2
        LDA F2+3 : AND #$80 : STA S2 : LDA F2+2 : ASL A : LDA F2+3 : ROL A : STA E2
        LDA F2+2 : AND #$7F : LDX E2 : BEQ small2 : ORA #$80
small2: STA F2+2 : RTS

zero:   LDA #0 : STA R : STA R+1 : STA R+2 : STA R+3 : RTS
endless: LDA #0 : STA R : STA R+1 : LDA #$80 : STA R+2 : LDA S1 : ORA #$7F : STA R+3 : RTS
pack:   LSR E1 : LDA P+2 : AND #$7F : BCC even : ORA #$80
even:   STA R+2 : LDA P+1 : STA R+1 : LDA P : STA R : LDA E1 : ORA S1 : STA R+3 : RTS

; R = F1 * F2: P is the upper half of the product.
multiply: JSR unpack : LDA S1 : EOR S2 : STA S1
        LDA F1 : ORA F1+1 : ORA F1+2 : BEQ zero : LDA F2 : ORA F2+1 : ORA F2+2 : BEQ zero
        LDA E1 : CMP #255 : BEQ endless : LDA E2 : CMP #255 : BEQ endless
        LDA #0 : STA P : STA P+1 : STA P+2 : LDX #24
bit:    LSR F1+2 : ROR F1+1 : ROR F1 : BCC clear
        CLC : LDA P : ADC F2 : STA P : LDA P+1 : ADC F2+1 : STA P+1 : LDA P+2 : ADC F2+2 : STA P+2
        JMP turn
clear:  CLC
turn:   ROR P+2 : ROR P+1 : ROR P : DEX : BNE bit
        LDA #0 : STA H : CLC : LDA E1 : ADC E2 : STA E1 : ROL H
        SEC : LDA E1 : SBC #127 : STA E1 : LDA H : SBC #0 : STA H
        LDA P+2 : BMI top
        ASL P : ROL P+1 : ROL P+2 : JMP range
top:    INC E1 : BNE range : INC H
range:  LDA H : BMI tozero : BNE toendless : LDA E1 : CMP #255 : BEQ toendless : JMP pack
tozero: JMP zero
toendless: JMP endless

; R = F1 + F2

over:   JMP endless
add:    JSR unpack : LDA E1 : CMP #255 : BEQ over : LDA E2 : CMP #255 : BEQ over
        SEC : LDA E1 : SBC E2 : BCC second
        TAX : BEQ aligned
shift2: LSR F2+2 : ROR F2+1 : ROR F2 : DEX : BNE shift2
        JMP aligned
second: LDA E2 : SEC : SBC E1 : TAX : LDA E2 : STA E1
shift1: LSR F1+2 : ROR F1+1 : ROR F1 : DEX : BNE shift1
aligned: LDA S1 : CMP S2 : BNE differ
        CLC : LDA F1 : ADC F2 : STA P : LDA F1+1 : ADC F2+1 : STA P+1 : LDA F1+2 : ADC F2+2 : STA P+2
        BCC packed : ROR P+2 : ROR P+1 : ROR P : INC E1 : LDA E1 : CMP #255 : BEQ over
packed: JMP pack
differ: SEC : LDA F1 : SBC F2 : STA P : LDA F1+1 : SBC F2+1 : STA P+1 : LDA F1+2 : SBC F2+2 : STA P+2
        BCS positive
        LDA S2 : STA S1
        SEC : LDA #0 : SBC P : STA P : LDA #0 : SBC P+1 : STA P+1 : LDA #0 : SBC P+2 : STA P+2
positive: LDA P : ORA P+1 : ORA P+2 : BEQ gone
normal: LDA P+2 : BMI packed : ASL P : ROL P+1 : ROL P+2 : LDA E1 : BEQ gone : DEC E1 : BNE normal
gone:   JMP zero
"""

# Fetches ROWS rows of COLUMNS floats from the expansion, one after the other, and adds up their products with
# a vector that was fetched before; stashes the sums.
_MATRIX = """
        LDA #0 : STA $DF0A : STA REU : STA REU+1 : STA REU+2
        LDA #<VECTOR : STA $DF02 : LDA #>VECTOR : STA $DF03 : JSR row
        LDA #<SUMS : STA OUT : LDA #>SUMS : STA OUT+1 : LDA #0 : STA COUNT
next:   LDA #<ROW : STA $DF02 : LDA #>ROW : STA $DF03 : JSR row
        LDA #0 : STA SUM : STA SUM+1 : STA SUM+2 : STA SUM+3 : STA INDEX
term:   LDX INDEX : LDY #0
load:   LDA ROW,X : STA F1,Y : LDA VECTOR,X : STA F2,Y : INX : INY : CPY #4 : BNE load
        STX INDEX : JSR multiply
        LDX #3
move:   LDA SUM,X : STA F1,X : LDA R,X : STA F2,X : DEX : BPL move
        JSR add
        LDX #3
keep:   LDA R,X : STA SUM,X : DEX : BPL keep
        LDA INDEX : CMP #<COLUMNS+COLUMNS+COLUMNS+COLUMNS : BNE term
        LDY #3
store:  LDA SUM,Y : STA (OUT),Y : DEY : BPL store
        CLC : LDA OUT : ADC #4 : STA OUT : BCC same : INC OUT+1
same:   INC COUNT : LDA COUNT : CMP #ROWS : BNE next
        LDA #<SUMS : STA $DF02 : LDA #>SUMS : STA $DF03
        LDA REU : STA $DF04 : LDA REU+1 : STA $DF05 : LDA REU+2 : STA $DF06
        LDA #<ROWS+ROWS+ROWS+ROWS : STA $DF07 : LDA #0 : STA $DF08 : LDA #$90 : STA $DF01
        LDA #$4F : JSR $FFD2 : LDA #$4B : JSR $FFD2
        RTS
row:    LDA REU : STA $DF04 : LDA REU+1 : STA $DF05 : LDA REU+2 : STA $DF06
        LDA #<COLUMNS+COLUMNS+COLUMNS+COLUMNS : STA $DF07 : LDA #0 : STA $DF08 : LDA #$91 : STA $DF01
        LDA $DF04 : STA REU : LDA $DF05 : STA REU+1 : LDA $DF06 : AND #7 : STA REU+2 : RTS
"""
_ZERO_PAGE = {"F1": 0x10, "F2": 0x14, "R": 0x18, "P": 0x1C, "S1": 0x20, "S2": 0x21, "E1": 0x22, "E2": 0x23}
_ZERO_PAGE |= {"H": 0x24, "REU": 0x25, "OUT": 0x28, "COUNT": 0x2A, "SUM": 0x2C, "INDEX": 0x30}
_MEMORY = {"VECTOR": 0x4000, "ROW": 0x4100, "SUMS": 0x4200}


def matrix_program(rows: int, columns: int) -> bytes:
    """The program file; at most 63 rows and columns. It prints "OK"."""
    return basic_program(_MATRIX + _FLOATS, ROWS=rows, COLUMNS=columns, **_ZERO_PAGE, **_MEMORY)
