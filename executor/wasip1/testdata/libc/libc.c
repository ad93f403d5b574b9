// An ordinary C program over wasi-libc: the calls that real guests make.
#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define CHECK(x)                                                          \
  do {                                                                    \
    if (!(x)) {                                                           \
      fprintf(stderr, "line %d: %s (errno %s)\n", __LINE__, #x, strerror(errno)); \
      exit(1);                                                            \
    }                                                                     \
  } while (0)

int main(int argc, char **argv) {
  CHECK(argc == 3 && !strcmp(argv[2], "two words"));
  CHECK(!strcmp(getenv("NAME"), "value=with=equals"));
  CHECK(!getenv("HOME"));
  CHECK(!isatty(0) && !isatty(1));

  char line[64];
  CHECK(fgets(line, sizeof line, stdin) && !strcmp(line, "first\n"));
  CHECK(fgets(line, sizeof line, stdin) && !strcmp(line, "second\n"));
  CHECK(!fgets(line, sizeof line, stdin) && feof(stdin));

  FILE *f = fopen("/notes.txt", "w+");
  CHECK(f);
  CHECK(fprintf(f, "%d bottles\n", 99) == 11);
  CHECK(fseek(f, -8, SEEK_END) == 0 && ftell(f) == 3);
  CHECK(fread(line, 1, 7, f) == 7 && !memcmp(line, "bottles", 7));
  CHECK(fclose(f) == 0);
  CHECK((f = fopen("notes.txt", "a")) != NULL); // relative to the root
  CHECK(fputs("more\n", f) >= 0 && fclose(f) == 0);
  struct stat st;
  CHECK(stat("/notes.txt", &st) == 0 && st.st_size == 16 && S_ISREG(st.st_mode));
  CHECK(truncate("/notes.txt", 4) == 0 && stat("/notes.txt", &st) == 0 && st.st_size == 4);

  CHECK(mkdir("/made", 0777) == 0 && mkdir("/made", 0777) < 0 && errno == EEXIST);
  CHECK(rename("/notes.txt", "/made/notes.txt") == 0);
  CHECK(symlink("made/notes.txt", "/link") == 0);
  CHECK(lstat("/link", &st) == 0 && S_ISLNK(st.st_mode));
  CHECK(readlink("/link", line, sizeof line) == 14);
  CHECK(access("/link", R_OK) == 0);
  CHECK(link("/made/notes.txt", "/hard") == 0 && stat("/hard", &st) == 0 && st.st_nlink == 2);

  int seen = 0;
  DIR *d = opendir("/");
  CHECK(d);
  for (struct dirent *e; (e = readdir(d));) {
    seen += !strcmp(e->d_name, "made") && e->d_type == DT_DIR;
    seen += !strcmp(e->d_name, "link") && e->d_type == DT_LNK;
    seen += !strcmp(e->d_name, "hard") && e->d_type == DT_REG;
    seen += !strcmp(e->d_name, "data") && e->d_type == DT_DIR;
  }
  CHECK(seen == 4 && closedir(d) == 0);

  // /data is another mount, read-only, reached by its own preopened directory
  // and through the root's.
  int root = open("/", O_RDONLY | O_DIRECTORY);
  CHECK(root >= 0);
  CHECK((f = fopen("/data/hello.txt", "r")) && fgets(line, sizeof line, f) && !strcmp(line, "hello"));
  fclose(f);
  int fd = openat(root, "data/hello.txt", O_RDONLY);
  CHECK(fd >= 0 && read(fd, line, sizeof line) == 5);
  CHECK(pread(fd, line, 3, 2) == 3 && !memcmp(line, "llo", 3));
  CHECK(write(fd, "x", 1) < 0 && errno == EBADF);
  CHECK(close(fd) == 0 && close(fd) < 0 && errno == EBADF);
  CHECK(!fopen("/data/new", "w") && errno == EROFS);
  CHECK(unlink("/data/hello.txt") < 0 && errno == EROFS);
  CHECK(rename("/hard", "/data/hard") < 0 && errno == EXDEV);
  CHECK(open("/../outside/canary", O_RDONLY) < 0);
  CHECK(openat(root, "../outside/canary", O_RDONLY) < 0);

  CHECK(unlink("/hard") == 0 && unlink("/link") == 0 && unlink("/made/notes.txt") == 0 && rmdir("/made") == 0);
  CHECK(open("/none", O_RDONLY) < 0 && errno == ENOENT);

  struct timespec a, b, nap = {0, 1000000};
  CHECK(clock_gettime(CLOCK_MONOTONIC, &a) == 0 && nanosleep(&nap, NULL) == 0 && clock_gettime(CLOCK_MONOTONIC, &b) == 0);
  CHECK((b.tv_sec - a.tv_sec) * 1000000000ll + b.tv_nsec - a.tv_nsec >= 1000000);
  struct pollfd p = {.fd = 1, .events = POLLOUT};
  CHECK(poll(&p, 1, -1) == 1 && p.revents == POLLOUT);
  char r[32] = {0}, z[32] = {0};
  CHECK(getentropy(r, sizeof r) == 0 && memcmp(r, z, sizeof r));

  puts("all well");
  return 42;
}
