// A million subscriptions, none, and lists that overlap their answers.
#include "hostile.h"

void _start(void) {
  static subscription in[4];
  static event out[4];
  u32 n;
  MUST(poll_oneoff(in, out, 0, &n), EINVAL);
  MUST(poll_oneoff(in, out, 1000000, &n), EINVAL);
  MUST(poll_oneoff(in, out, 0xffffffff, &n), EINVAL);
  MUST(poll_oneoff((void *)0xfffffff0, out, 1, &n), EFAULT);
  MUST(poll_oneoff(in, (void *)0xfffffff0, 1, &n), EFAULT);
  MUST(poll_oneoff(in, out, 1, (u32 *)0xffffffff), EFAULT);
  in[0].userdata = 7, in[0].tag = 0, in[0].u.clock.id = 9; // no such clock
  in[1].userdata = 8, in[1].tag = 1, in[1].u.fd = 99;      // no such descriptor
  in[2].userdata = 9, in[2].tag = 77;                      // no such event
  MUST(poll_oneoff(in, in, 3, &n), OK);                    // answers over the questions
  event *e = (event *)in;
  MUST(n, 3);
  MUST(e[0].userdata, 7);
  MUST(e[0].error, EINVAL);
  MUST(e[1].userdata, 8);
  MUST(e[1].error, EBADF);
  MUST(e[2].userdata, 9);
  MUST(e[2].error, EINVAL);
  memset(in, 0, sizeof in);
  in[0].u.clock.id = 1, in[0].u.clock.timeout = ~0ull; // for ever
  in[1].tag = 2, in[1].u.fd = 1;
  MUST(poll_oneoff(in, out, 2, &n), OK);
  MUST(n, 1);
  MUST(out[0].type, 2);
  in[1].u.fd = ROOT; // a directory: no right to poll it
  MUST(poll_oneoff(in, out, 2, &n), OK);
  MUST(out[0].error, ENOTCAPABLE);
}
