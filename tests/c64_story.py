"""A program that behaves on the keyboard and on the screen as Llama2.c64 does, and tells what it was told."""

from __future__ import annotations

from assembler import basic_program

_STORY = """
        LDA #14 : JSR $FFD2 : LDA #147 : JSR $FFD2
settings: JSR key : CMP #13 : BNE settings
        LDX #0
prompt: JSR key : CMP #13 : BEQ told
        CMP #$C0 : BCS capital : CMP #$40 : BCC sign
        AND #$1F : JMP sign
capital: AND #$7F
sign:   STA $0450,X : INX : BNE prompt
told:   STX $10
        LDX #0
again:  JSR pause : LDA $0450,X : STA $0590,X : INX : CPX $10 : BNE again
        LDA #$21 : STA $0590,X
        JSR key
        RTS
key:    JSR $FFE4 : CMP #0 : BEQ key : RTS
pause:  LDA #200 : STA $11
outer:  LDY #0
inner:  DEY : BNE inner : DEC $11 : BNE outer : RTS
"""


def story_program() -> bytes:
    """The program file: it shows the prompt in row 2, and tells it in row 10 with an exclamation mark."""
    return basic_program(_STORY)
