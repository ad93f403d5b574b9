// Links whose targets are long and double each other: the work of one lookup is bounded.
#include "hostile.h"

void _start(void) {
  char t[4000];
  for (int i = 0; i < 4000; i += 2) t[i] = '.', t[i + 1] = '/';
  t[3998] = 'b', t[3999] = 0;
  MUST(path_symlink(t, 3999, ROOT, "a", 1), OK);
  t[3998] = 'a';
  MUST(path_symlink(t, 3999, ROOT, "b", 1), OK);
  EVERYTHING("a", ELOOP);
  t[3998] = '.';
  MUST(path_symlink(t, 3999, ROOT, "c", 1), OK);
  filestat st;
  MUST(stat_("c/c/c/c/c/c/c/c/hello.txt", FOLLOW, &st), OK);
}
