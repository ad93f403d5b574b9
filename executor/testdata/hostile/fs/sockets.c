// Uses every descriptor as a socket.
#include "hostile.h"

void _start(void) {
  iovec v = {"x", 1};
  u32 n, m;
  int fd;
  for (int i = 0; i <= ROOT; i++) {
    MUST(sock_accept(i, 0, &fd), ENOTSOCK);
    MUST(sock_recv(i, &v, 1, 0, &n, &m), ENOTSOCK);
    MUST(sock_send(i, &v, 1, 0, &n), ENOTSOCK);
    MUST(sock_shutdown(i, 3), ENOTSOCK);
  }
  MUST(sock_accept(99, 0, &fd), EBADF);
  MUST(sock_send(-1, &v, 1, 0, &n), EBADF);
  MUST(sock_shutdown(0x7fffffff, 0), EBADF);
  MUST(sock_recv(99, (iovec *)0xfffffff0, 0xffffffff, -1, (u32 *)0xffffffff, 0), EBADF);
}
