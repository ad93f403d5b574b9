// Sets times from the beginning to the end of 64 bits.
#include "hostile.h"

void _start(void) {
  int fd;
  filestat st;
  MUST(creating("f", &fd), OK);
  MUST(fd_filestat_set_times(fd, ~0ull, ~0ull, 5), EINVAL);
  MUST(fd_filestat_set_times(fd, 1ull << 63, 0, 1), EINVAL);
  MUST(fd_filestat_set_times(fd, 123456789, 987654321, 5), OK);
  MUST(fd_filestat_get(fd, &st), OK);
  MUST(st.atim, 123456789);
  MUST(st.mtim, 987654321);
  MUST(fd_filestat_set_times(fd, 5, 5, 0), OK); // nothing to set
  MUST(fd_filestat_get(fd, &st), OK);
  MUST(st.mtim, 987654321);
  MUST(fd_filestat_set_times(fd, 0, 0, 8), OK); // now
  MUST(fd_filestat_get(fd, &st), OK);
  MUST(st.mtim > 1600000000000000000ull, 1);
  MUST(st.atim, 123456789);
  MUST(path_filestat_set_times(ROOT, 0, "none", 4, 1, 1, 5), ENOENT);
}
