// Opens and reads d/canary over and over while the host's directory d is swapped
// for a link to one that holds the canary, and f for a link to the canary itself.
// Says so if it ever reads that.
#include "hostile.h"

void _start(void) {
  for (int i = 0; i < 700; i++) {
    int fd;
    char b[8];
    iovec v = {b, 8};
    u32 n = 0;
    filestat st;
    static const char *const paths[] = {"d/canary", "f"};
    for (int k = 0; k < 4; k++) {
      if (open_(ROOT, paths[k % 2], k < 2 ? FOLLOW : 0, 0, R_RO, &fd)) continue;
      MUST(fd_read(fd, &v, 1, &n), OK);
      if (n >= 1 && b[0] != 'i') fail("read from outside", __LINE__, b[0], 'i');
      fd_close(fd);
    }
    for (int k = 0; k < 4; k++) {
      if (open_(ROOT, "f", k % 2, k < 2 ? CREAT : 0, R_ALL, &fd)) continue;
      fd_pwrite(fd, &(iovec){"inside", 6}, 1, 0, &n);
      fd_close(fd);
    }
    if (!open_(ROOT, "d/canary", FOLLOW, 0, R_ALL, &fd)) {
      fd_pwrite(fd, &(iovec){"inside", 6}, 1, 0, &n);
      fd_close(fd);
    }
    if (!open_(ROOT, "d/made", FOLLOW, CREAT, R_ALL, &fd)) fd_close(fd);
    unlink_("d/made");
    mkdir_("d/sub");
    rmdir_("d/sub");
    if (!stat_("d/canary", FOLLOW, &st) && st.size != 6) fail("looked outside", __LINE__, st.size, 6);
    rename_("d/canary", "d/canary2");
    rename_("d/canary2", "d/canary");
    link_("d/canary", "d/hard");
    unlink_("d/hard");
  }
}
