; The hook that hands over from Unicorn to compiled code and back: a C function of (engine, address, size, state).
;
; Unicorn calls it at each of its blocks, of which most are not served, and at the ends of the stubs in the exchange
; page, where VR and XER have been moved. Once a system call has left the registers in the state, attachment.py calls it
; without an engine at the address RESUME: it then comes back with the next system call, or with the place where
; Unicorn is to go on in GO_ON_AT. bridge.py fills in the names in braces: numbers of layout.py, and the parts
; that repeat for each register.

declare i128 @llvm.bswap.i128(i128)
declare void @llvm.memcpy.inline.p0.p0.i64(ptr, ptr, i64, i1)
declare i64 @llvm.bswap.i64(i64)
declare i32 @llvm.bswap.i32(i32)
declare i32 @llvm.bitreverse.i32(i32)
declare i32 @llvm.vector.reduce.or.v8i32(<8 x i32>)

; A look at whether the engine is to come to rest, then into the dispatch table, or to the places that are not in RAM.
; It is the only hook of blocks, but in a run that is profiled: Unicorn calls a hook that is alone directly.
define void @{name}(ptr %engine, i64 %address, i32 %size, ptr %state) nounwind {
  %stop_at = getelementptr i8, ptr %state, i64 {STOP}
  %stop = load atomic i32, ptr %stop_at monotonic, align 4
  %asked = icmp ne i32 %stop, 0
  br i1 %asked, label %where, label %which
where:
  %guest_code = icmp ult i64 %address, {READ_ENTRY}
  br i1 %guest_code, label %rest, label %which
rest:
  %stop_engine_at = getelementptr i8, ptr %state, i64 {STOP_ENGINE}
  %stop_engine = load ptr, ptr %stop_engine_at
  %e = call i32 %stop_engine(ptr %engine)
  ret void
which:
  %page = lshr i64 %address, {PAGE_SHIFT}
  %inside = icmp ult i64 %page, {PAGE_COUNT}
  br i1 %inside, label %look, label %hand_over
look:
  %dispatch_at = getelementptr i8, ptr %state, i64 {DISPATCH}
  %table = load ptr, ptr %dispatch_at
  %block_at = getelementptr ptr, ptr %table, i64 %page
  %block = load ptr, ptr %block_at
  %n = lshr i64 %address, 2
  %m = and i64 %n, {SLOT_MASK}
  %function_at = getelementptr ptr, ptr %block, i64 %m
  %function = load ptr, ptr %function_at
  %served = icmp ne ptr %function, null
  br i1 %served, label %hand_over, label %nothing
hand_over:
  musttail call void @hand_over(ptr %engine, i64 %address, i32 %size, ptr %state)
  ret void
nothing:
  ret void
}

define internal void @hand_over(ptr %engine, i64 %address, i32 %size, ptr %state) noinline nounwind {
entry:
  %skip_at = getelementptr i8, ptr %state, i64 {SKIP}
  %pc_at = getelementptr i8, ptr %state, i64 {PC}
  %status_at = getelementptr i8, ptr %state, i64 {STATUS}
  %extra_at = getelementptr i8, ptr %state, i64 {EXTRA}
  %dirty_at = getelementptr i8, ptr %state, i64 {DIRTY}
  %depth_at = getelementptr i8, ptr %state, i64 {DEPTH}
  %dispatch_at = getelementptr i8, ptr %state, i64 {DISPATCH}
  %stop_at = getelementptr i8, ptr %state, i64 {STOP}
  %read_at = getelementptr i8, ptr %state, i64 {READ_BATCH}
  %write_at = getelementptr i8, ptr %state, i64 {WRITE_BATCH}
  %ids_at = getelementptr i8, ptr %state, i64 {ENGINE_IDS}
  %places_at = getelementptr i8, ptr %state, i64 {ENGINE_PLACES}
  %cr_word_at = getelementptr i8, ptr %state, i64 {CR_WORD}
  %fpscr_at = getelementptr i8, ptr %state, i64 {FPSCR}
  %exchange_at = getelementptr i8, ptr %state, i64 {EXCHANGE}
  %calls_at = getelementptr i8, ptr %state, i64 {NATIVE_CALLS}
  %ca_at = getelementptr i8, ptr %state, i64 {CA}
  %cr_at = getelementptr i8, ptr %state, i64 {CR}
  %vr_at = getelementptr i8, ptr %state, i64 {VR}
  %running_at = getelementptr i8, ptr %state, i64 {RUNNING}
  %notes_at = getelementptr i8, ptr %state, i64 {NOTES}
  %held_at = getelementptr i8, ptr %state, i64 {HELD}
  %stop_engine_at = getelementptr i8, ptr %state, i64 {STOP_ENGINE}
  ; Compiled code left this instruction to Unicorn: do not enter again before it is executed.
  %skip = load i64, ptr %skip_at
  %skipped = icmp eq i64 %skip, %address
  br i1 %skipped, label %unskip, label %which
unskip:
  store i64 -1, ptr %skip_at
  ret void
which:
  switch i64 %address, label %enter [
    i64 {RESUME}, label %resume
    i64 {READ_END}, label %have_extra
    i64 {WRITE_END}, label %finish
  ]

; From Unicorn: fetch the registers, unless the address is not served, FPSCR is unusual, or XER has SO or OV, which
; compiled code takes to be 0.
enter:
  %table0 = load ptr, ptr %dispatch_at
  %page0 = lshr i64 %address, {PAGE_SHIFT}
  %inside0 = icmp ult i64 %page0, {PAGE_COUNT}
  %index0 = select i1 %inside0, i64 %page0, i64 {PAGE_COUNT}
  %block_at0 = getelementptr ptr, ptr %table0, i64 %index0
  %block0 = load ptr, ptr %block_at0
  %n0 = lshr i64 %address, 2
  %m0 = and i64 %n0, {SLOT_MASK}
  %function_at0 = getelementptr ptr, ptr %block0, i64 %m0
  %function0 = load ptr, ptr %function_at0
  %served0 = icmp ne ptr %function0, null
  br i1 %served0, label %fetch, label %nothing
nothing:
  ret void
fetch:
  %own_gpr_at = getelementptr i8, ptr %state, i64 {ENGINE_GPR}
  %own_gpr = load ptr, ptr %own_gpr_at
  %own_known = icmp ne ptr %own_gpr, null
  br i1 %own_known, label %fetch_directly, label %fetch_by_calls
fetch_directly:
  call void @take_registers(ptr %state)
  br label %fetched
fetch_by_calls:
  %read = load ptr, ptr %read_at
  %ids0 = load ptr, ptr %ids_at
  %places0 = load ptr, ptr %places_at
  %e0 = call i32 %read(ptr %engine, ptr %ids0, ptr %places0, i32 {REGISTERS_READ})
  br label %fetched
fetched:
  %fpscr = load i64, ptr %fpscr_at
  %modes = and i64 %fpscr, {FPSCR_UNUSUAL}
  %usual = icmp eq i64 %modes, 0
  br i1 %usual, label %summary, label %nothing
summary:
  %so_place_at = getelementptr i8, ptr %state, i64 {ENGINE_SO}
  %so_place = load ptr, ptr %so_place_at
  %so_known = icmp ne ptr %so_place, null
  br i1 %so_known, label %overflows, label %unpack
overflows:
  %ov_place_at = getelementptr i8, ptr %state, i64 {ENGINE_OV}
  %ov_place = load ptr, ptr %ov_place_at
  %so = load i64, ptr %so_place
  %ov = load i64, ptr %ov_place
  %so_or_ov = or i64 %so, %ov
  %no_overflow = icmp eq i64 %so_or_ov, 0
  br i1 %no_overflow, label %unpack, label %nothing
unpack:
{uncount}
  call void @unpack_cr(ptr %cr_word_at, ptr %cr_at)
  store i64 %address, ptr %pc_at
  store i32 0, ptr %extra_at
  store i32 0, ptr %dirty_at
  store i32 0, ptr %depth_at
  br label %run

; From a system call that was served: the PC, r3 and CR may have changed.
resume:
  call void @unpack_cr(ptr %cr_word_at, ptr %cr_at)
  store i32 0, ptr %depth_at
  br label %run

; Compiled code, function after function, for as long as one serves the PC and nothing asks for an exit.
run:
  store i32 0, ptr %status_at
  store i32 1, ptr %running_at
  store i32 0, ptr %notes_at
  call void @clear_exceptions()
  br label %next
next:
  %flag = load atomic i32, ptr %stop_at monotonic, align 4
  %status = load i32, ptr %status_at
  %both = or i32 %flag, %status
  %clear = icmp eq i32 %both, 0
  br i1 %clear, label %look, label %done
look:
  %pc = load i64, ptr %pc_at
  %table = load ptr, ptr %dispatch_at
  %page = lshr i64 %pc, {PAGE_SHIFT}
  %inside = icmp ult i64 %page, {PAGE_COUNT}
  %index = select i1 %inside, i64 %page, i64 {PAGE_COUNT}
  %block_at = getelementptr ptr, ptr %table, i64 %index
  %block = load ptr, ptr %block_at
  %n = lshr i64 %pc, 2
  %m = and i64 %n, {SLOT_MASK}
  %function_at = getelementptr ptr, ptr %block, i64 %m
  %function = load ptr, ptr %function_at
  %served = icmp ne ptr %function, null
  br i1 %served, label %go, label %done
go:
  call void %function(ptr %state)
  %calls = load i64, ptr %calls_at
  %calls1 = add i64 %calls, 1
  store i64 %calls1, ptr %calls_at
  br label %next

; A system call: the registers stay here, and the engine, which stands in its hook at first, comes to rest.
system_call:
  store i32 1, ptr %held_at
  %inside_engine = icmp ne ptr %engine, null
  br i1 %inside_engine, label %stop_engine, label %stopped
stop_engine:
  %stop_engine_function = load ptr, ptr %stop_engine_at
  %e2 = call i32 %stop_engine_function(ptr %engine)
  br label %stopped
stopped:
  ret void

; Back to Unicorn. VR and XER are in its memory where their places are known; else they come and go by a stub of the
; exchange page. CR is packed however this run ends: the registers may stay here, and the next RESUME unpacks it.
done:
  store i32 0, ptr %running_at
  %notes = load i32, ptr %notes_at
  %noted = icmp ne i32 %notes, 0
  br i1 %noted, label %note, label %resolve
note:
  call void @note_exceptions(ptr %state)
  store i32 0, ptr %notes_at
  br label %resolve
resolve:
  %last_forms_at = getelementptr i8, ptr %state, i64 {LAST_FORMS}
  %last_forms = load i32, ptr %last_forms_at
  %is_resolved = icmp eq i32 %last_forms, 0
  br i1 %is_resolved, label %leave, label %call_resolver
call_resolver:
  %resolver_at = getelementptr i8, ptr %state, i64 {RESOLVER}
  %resolver = load ptr, ptr %resolver_at
  call void %resolver(ptr %state)
  br label %leave
leave:
  call void @pack_cr(ptr %cr_at, ptr %cr_word_at)
  %end = load i32, ptr %status_at
  switch i32 %end, label %back [
    i32 {SYSTEM_CALL}, label %system_call
    i32 {NEED_EXTRA}, label %want_extra
  ]
want_extra:
  %engine_vr_at = getelementptr i8, ptr %state, i64 {ENGINE_VR}
  %engine_vr = load ptr, ptr %engine_vr_at
  %vr_known = icmp ne ptr %engine_vr, null
  br i1 %vr_known, label %take_extra, label %ask_extra
take_extra:
  call void @llvm.memcpy.inline.p0.p0.i64(ptr align 16 %vr_at, ptr align 8 %engine_vr, i64 512, i1 false)
  %engine_sat_at = getelementptr i8, ptr %state, i64 {ENGINE_SAT}
  %engine_sat = load ptr, ptr %engine_sat_at
  %sat_taken = load i128, ptr %engine_sat, align 8
  %saturated = icmp ne i128 %sat_taken, 0
  %sat_taken8 = zext i1 %saturated to i8
  %sat_taken_at = getelementptr i8, ptr %state, i64 {SAT}
  store i8 %sat_taken8, ptr %sat_taken_at
  %engine_ca_at = getelementptr i8, ptr %state, i64 {ENGINE_CA}
  %engine_ca = load ptr, ptr %engine_ca_at
  %ca_taken = load i64, ptr %engine_ca
  %ca_taken8 = trunc i64 %ca_taken to i8
  %ca_own = load i8, ptr %ca_at
  %dirty_now = load i32, ptr %dirty_at
  %ca_kept = icmp ne i32 %dirty_now, 0
  %ca_chosen = select i1 %ca_kept, i8 %ca_own, i8 %ca_taken8
  store i8 %ca_chosen, ptr %ca_at
  store i32 1, ptr %extra_at
  %engine_nj_at = getelementptr i8, ptr %state, i64 {ENGINE_NJ}
  %engine_nj = load ptr, ptr %engine_nj_at
  %flushes = load i8, ptr %engine_nj
  %unflushed = icmp eq i8 %flushes, 0
  br i1 %unflushed, label %decline, label %run
ask_extra:
  call void @set_pc(ptr %engine, ptr %state, i64 {READ_ENTRY})
  ret void
back:
{note_exit}
  %repeats = icmp eq i32 %end, {REPEAT}
  br i1 %repeats, label %mark, label %dirty_check
mark:
  %here = load i64, ptr %pc_at
  store i64 %here, ptr %skip_at
  br label %dirty_check
dirty_check:
  %dirty = load i32, ptr %dirty_at
  %clean = icmp eq i32 %dirty, 0
  br i1 %clean, label %finish, label %give_extra
give_extra:
  %out_vr_at = getelementptr i8, ptr %state, i64 {ENGINE_VR}
  %out_vr = load ptr, ptr %out_vr_at
  %out_known = icmp ne ptr %out_vr, null
  br i1 %out_known, label %put_extra, label %send_extra
put_extra:
  %out_ca_at = getelementptr i8, ptr %state, i64 {ENGINE_CA}
  %out_ca = load ptr, ptr %out_ca_at
  %ca_put = load i8, ptr %ca_at
  %ca_put64 = zext i8 %ca_put to i64
  store i64 %ca_put64, ptr %out_ca
  %vectors_put = and i32 %dirty, {VECTORS}
  %no_vectors = icmp eq i32 %vectors_put, 0
  br i1 %no_vectors, label %finish, label %put_vectors
put_vectors:
  call void @llvm.memcpy.inline.p0.p0.i64(ptr align 8 %out_vr, ptr align 16 %vr_at, i64 512, i1 false)
  %out_sat_at = getelementptr i8, ptr %state, i64 {ENGINE_SAT}
  %out_sat = load ptr, ptr %out_sat_at
  %sat_put_at = getelementptr i8, ptr %state, i64 {SAT}
  %sat_put = load i8, ptr %sat_put_at
  %sat_put128 = zext i8 %sat_put to i128
  store i128 %sat_put128, ptr %out_sat, align 8
  br label %finish
send_extra:
  %ca = load i8, ptr %ca_at
  %ca64 = zext i8 %ca to i64
  %xer = shl i64 %ca64, {CA_SHIFT}
  %xer_be = call i64 @llvm.bswap.i64(i64 %xer)
  %exchange_out = load ptr, ptr %exchange_at
  %xer_out_at = getelementptr i8, ptr %exchange_out, i64 {XER_OFFSET}
  store i64 %xer_be, ptr %xer_out_at
  %vectors = and i32 %dirty, {VECTORS}
  %only_xer = icmp eq i32 %vectors, 0
  br i1 %only_xer, label %xer_stub, label %vector_stub
xer_stub:
  call void @set_pc(ptr %engine, ptr %state, i64 {WRITE_XER})
  ret void
vector_stub:
  %sat_at = getelementptr i8, ptr %state, i64 {SAT}
  %sat8 = load i8, ptr %sat_at
  %sat32 = zext i8 %sat8 to i32
  %vscr_word = or i32 %sat32, {NON_JAVA}
  %vscr_be = call i32 @llvm.bswap.i32(i32 %vscr_word)
  %vscr_out_at = getelementptr i8, ptr %exchange_out, i64 {VSCR_WORD}
  store i32 %vscr_be, ptr %vscr_out_at
{vectors_out}
  call void @set_pc(ptr %engine, ptr %state, i64 {WRITE_ENTRY})
  ret void
finish:
  %no_engine = icmp eq ptr %engine, null
  br i1 %no_engine, label %finish_later, label %finish_now
finish_later:
  call void @set_pc(ptr null, ptr %state, i64 {WRITE_END})
  ret void
finish_now:
  %whole_gpr_at = getelementptr i8, ptr %state, i64 {ENGINE_GPR}
  %whole_gpr = load ptr, ptr %whole_gpr_at
  %whole_known = icmp ne ptr %whole_gpr, null
  br i1 %whole_known, label %write_directly, label %write_by_calls
write_directly:
  call void @put_registers(ptr %state)
  br label %written
write_by_calls:
  %write = load ptr, ptr %write_at
  %ids1 = load ptr, ptr %ids_at
  %places1 = load ptr, ptr %places_at
  %e1 = call i32 %write(ptr %engine, ptr %ids1, ptr %places1, i32 {REGISTERS_WRITTEN})
  br label %written
written:
  %last = load i64, ptr %pc_at
  call void @set_pc(ptr %engine, ptr %state, i64 %last)
  ret void

; VR and XER have come: enter, but with VSCR.NJ clear leave the function to Unicorn.
have_extra:
  %exchange = load ptr, ptr %exchange_at
{vectors_in}
  %xer_at = getelementptr i8, ptr %exchange, i64 {XER_OFFSET}
  %xer_raw = load i64, ptr %xer_at
  %xer_word = call i64 @llvm.bswap.i64(i64 %xer_raw)
  %carry = lshr i64 %xer_word, {CA_SHIFT}
  %carry1 = and i64 %carry, 1
  %carry8 = trunc i64 %carry1 to i8
  %own = load i8, ptr %ca_at
  %changed = load i32, ptr %dirty_at
  %kept = icmp ne i32 %changed, 0
  %ca_now = select i1 %kept, i8 %own, i8 %carry8
  store i8 %ca_now, ptr %ca_at
  store i32 1, ptr %extra_at
  %vscr_at = getelementptr i8, ptr %exchange, i64 {VSCR_WORD}
  %vscr_raw = load i32, ptr %vscr_at
  %vscr = call i32 @llvm.bswap.i32(i32 %vscr_raw)
  %sat_in_at = getelementptr i8, ptr %state, i64 {SAT}
  %sat_in = and i32 %vscr, 1
  %sat_in8 = trunc i32 %sat_in to i8
  store i8 %sat_in8, ptr %sat_in_at
  %nj = and i32 %vscr, {NON_JAVA}
  %java = icmp eq i32 %nj, 0
  br i1 %java, label %decline, label %run
decline:
  store i32 {REPEAT}, ptr %status_at
  br label %done
}

; The PC of the engine; without an engine, where it is to go on later.
define internal void @set_pc(ptr %engine, ptr %state, i64 %pc) nounwind {
  %absent = icmp eq ptr %engine, null
  br i1 %absent, label %later, label %now
later:
  %go_on_at = getelementptr i8, ptr %state, i64 {GO_ON_AT}
  store i64 %pc, ptr %go_on_at
  ret void
now:
  %value = alloca i64
  store i64 %pc, ptr %value
  %f_at = getelementptr i8, ptr %state, i64 {WRITE}
  %f = load ptr, ptr %f_at
  %id_at = getelementptr i8, ptr %state, i64 {PC_ID}
  %id = load i32, ptr %id_at
  %e = call i32 %f(ptr %engine, i32 %id, ptr %value)
  ret void
}

; GPRs, FPRs, LR, CTR, CR and FPSCR from where the engine has them; all but FPSCR back there. A field of CR is 32
; bits of the engine's.
define internal void @take_registers(ptr %state) nounwind {
{engine_places}
  call void @llvm.memcpy.inline.p0.p0.i64(ptr align 8 %state, ptr align 8 %engine_gpr, i64 256, i1 false)
{doubles_taken}
  %lr = load i64, ptr %engine_lr
  store i64 %lr, ptr %lr_at
  %ctr = load i64, ptr %engine_ctr
  store i64 %ctr, ptr %ctr_at
  %fields = load <8 x i32>, ptr %engine_cr, align 4
  %placed = shl <8 x i32> %fields, <i32 28, i32 24, i32 20, i32 16, i32 12, i32 8, i32 4, i32 0>
  %word = call i32 @llvm.vector.reduce.or.v8i32(<8 x i32> %placed)
  %wide = zext i32 %word to i64
  store i64 %wide, ptr %cr_word_at
  %engine_fpscr_at = getelementptr i8, ptr %state, i64 {ENGINE_FPSCR}
  %engine_fpscr = load ptr, ptr %engine_fpscr_at
  %fpscr = load i64, ptr %engine_fpscr
  %fpscr_at = getelementptr i8, ptr %state, i64 {FPSCR}
  store i64 %fpscr, ptr %fpscr_at
  ret void
}

define internal void @put_registers(ptr %state) nounwind {
{engine_places}
  call void @llvm.memcpy.inline.p0.p0.i64(ptr align 8 %engine_gpr, ptr align 8 %state, i64 256, i1 false)
{doubles_put}
  %lr = load i64, ptr %lr_at
  store i64 %lr, ptr %engine_lr
  %ctr = load i64, ptr %ctr_at
  store i64 %ctr, ptr %engine_ctr
  %word = load i32, ptr %cr_word_at
  %one_word = insertelement <8 x i32> poison, i32 %word, i64 0
  %words = shufflevector <8 x i32> %one_word, <8 x i32> poison, <8 x i32> zeroinitializer
  %placed = lshr <8 x i32> %words, <i32 28, i32 24, i32 20, i32 16, i32 12, i32 8, i32 4, i32 0>
  %fields = and <8 x i32> %placed, <i32 15, i32 15, i32 15, i32 15, i32 15, i32 15, i32 15, i32 15>
  store <8 x i32> %fields, ptr %engine_cr, align 4
  ret void
}

; CR, 32 bits in a word, to a byte for each bit, the most significant first; and back.
define internal void @unpack_cr(ptr %word_at, ptr %bytes_at) nounwind {
  %word = load i32, ptr %word_at
  %reversed = call i32 @llvm.bitreverse.i32(i32 %word)
  %bits = bitcast i32 %reversed to <32 x i1>
  %bytes = zext <32 x i1> %bits to <32 x i8>
  store <32 x i8> %bytes, ptr %bytes_at, align 16
  ret void
}

define internal void @pack_cr(ptr %bytes_at, ptr %word_at) nounwind {
  %bytes = load <32 x i8>, ptr %bytes_at, align 16
  %bits = trunc <32 x i8> %bytes to <32 x i1>
  %reversed = bitcast <32 x i1> %bits to i32
  %word = call i32 @llvm.bitreverse.i32(i32 %reversed)
  %wide = zext i32 %word to i64
  store i64 %wide, ptr %word_at
  ret void
}

{exceptions}
