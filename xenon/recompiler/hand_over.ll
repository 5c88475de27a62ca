; What the engine calls at each exception: a C function of (engine, vector, state).
;
; An instruction that the engine hands over is an illegal one to it: its own registers are as before it, and PC
; stands behind it. If the table has a function for the word, that executes it (see lifter/alone.py). An exception that
; FPSCR enables, where such exceptions trap, everything else, and an access that is not allowed, goes to Python. hand_over.py fills in the names in braces.

declare i32 @llvm.bswap.i32(i32)

define void @{name}(ptr %engine, i32 %vector, ptr %state) nounwind {
entry:
  %illegal = icmp eq i32 %vector, {ILLEGAL}
  br i1 %illegal, label %look, label %other
look:
  %pc_at_at = getelementptr i8, ptr %state, i64 {ENGINE_PC}
  %pc_at = load ptr, ptr %pc_at_at
  %pc = load i64, ptr %pc_at
  %at = sub i64 %pc, 4
  %in_ram = icmp ult i64 %at, {RAM_BYTES}
  br i1 %in_ram, label %fetch, label %view
view:
  %behind = sub i64 %at, {FIRST_VIEW}
  %in_view = icmp ult i64 %behind, {VIEW_BYTES}
  br i1 %in_view, label %fetch, label %other
fetch:
  %place = and i64 %at, {RAM_MASK}
  %ram_at = getelementptr i8, ptr %state, i64 {RAM}
  %ram = load ptr, ptr %ram_at
  %code_at = getelementptr i8, ptr %ram, i64 %place
  %code = load i32, ptr %code_at
  %word = call i32 @llvm.bswap.i32(i32 %code)
  %key = zext i32 %word to i64
  %table_at = getelementptr i8, ptr %state, i64 {HANDED_OVER}
  %table = load ptr, ptr %table_at
  %product = mul i32 %word, {MULTIPLIER}
  %hash = lshr i32 %product, {HASH_SHIFT}
  %index = zext i32 %hash to i64
  %offset = shl i64 %index, 4
  %first = getelementptr i8, ptr %table, i64 %offset
  %first_key = load i64, ptr %first
  %is_first = icmp eq i64 %first_key, %key
  br i1 %is_first, label %execute, label %next
next:
  %second = getelementptr i8, ptr %first, i64 16
  %second_key = load i64, ptr %second
  %is_second = icmp eq i64 %second_key, %key
  br i1 %is_second, label %execute, label %other
execute:
  %entry_at = phi ptr [ %first, %fetch ], [ %second, %next ]
  %function_at = getelementptr i8, ptr %entry_at, i64 8
  %function = load ptr, ptr %function_at
  %status_at = getelementptr i8, ptr %state, i64 {STATUS}
  store i32 0, ptr %status_at
  call void %function(ptr %state, i32 %word)
  %status = load i32, ptr %status_at
  %done = icmp eq i32 %status, 0
  br i1 %done, label %executed, label %other
executed:
  %traps_at = getelementptr i8, ptr %state, i64 {FLOAT_TRAPS}
  %traps = load i32, ptr %traps_at
  %may_trap = icmp ne i32 %traps, 0
  br i1 %may_trap, label %exceptions, label %return
exceptions:
  %fpscr_at_at = getelementptr i8, ptr %state, i64 {ENGINE_FPSCR}
  %fpscr_at = load ptr, ptr %fpscr_at_at
  %fpscr = load i64, ptr %fpscr_at
  %enabled = and i64 %fpscr, {FEX}
  %is_trap = icmp ne i64 %enabled, 0
  br i1 %is_trap, label %trap, label %return
trap:
  %trap_callback_at = getelementptr i8, ptr %state, i64 {ON_EXCEPTION}
  %trap_callback = load ptr, ptr %trap_callback_at
  call void %trap_callback(ptr %engine, i32 {FLOAT_EXCEPTION}, ptr null)
  ret void
return:
  ret void
other:
  %callback_at = getelementptr i8, ptr %state, i64 {ON_EXCEPTION}
  %callback = load ptr, ptr %callback_at
  call void %callback(ptr %engine, i32 %vector, ptr null)
  ret void
}
