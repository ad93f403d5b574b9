;; fuel 9
(module (func $f
  f64.const 1e30 i32.trunc_sat_f64_s
  i32.extend8_s
  i64.extend_i32_s
  i64.extend32_s
  f32.convert_i64_u
  f64.promote_f32
  i64.reinterpret_f64
  drop) (start $f))
