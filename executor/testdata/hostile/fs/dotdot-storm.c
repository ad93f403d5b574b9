// "../" two hundred times, and every way to hide it.
#include "hostile.h"

void _start(void) {
  char p[1200];
  u32 n = 0;
  for (int i = 0; i < 200; i++) p[n++] = '.', p[n++] = '.', p[n++] = '/';
  memcpy(p + n, "etc/hostname", 13);
  EVERYTHING(p, EPERM);
  EVERYTHING("..", EPERM);
  EVERYTHING("../", EPERM);
  EVERYTHING("./..", EPERM);
  EVERYTHING("dir/../..", EPERM);
  EVERYTHING("dir/../../outside/canary", EPERM);
  EVERYTHING("dir//..//./..//outside/canary", EPERM);
  EVERYTHING("dir/../dir/../../outside/canary", EPERM);
  EVERYTHING("hello.txt/../..", ENOTDIR);
  MUST(mkdir_("../x"), EPERM);
  MUST(rmdir_(".."), EPERM);
  MUST(rmdir_("../outside"), EPERM);
  MUST(unlink_("../outside/canary"), EPERM);
  filestat st;
  MUST(stat_("dir/../hello.txt", 0, &st), OK);
  MUST(stat_("..hello", 0, &st), ENOENT); // only whole components count
  MUST(stat_("...", 0, &st), ENOENT);
}
