// A command for WASI 0.2 without a C library and without WASI 0.1: it does what
// its arguments say, one word after another, below its first directory. What
// fails is told as "error N", N being the number of the error-code in
// wasi:filesystem/types; results are told one a line.
#define IMPORT(module, name) __attribute__((import_module("wasi:" module "@0.2.3"), import_name(name)))
#define CLI(interface, name) IMPORT("cli/" interface, name)
#define FS(name) IMPORT("filesystem/types", name)
#define DESC(name) FS("[method]descriptor." name)
#define IO(name) IMPORT("io/streams", name)

typedef unsigned char u8;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef struct {
  const char *at;
  u32 size;
} str;

CLI("environment", "get-arguments") void get_arguments(void *ret);
CLI("environment", "get-environment") void get_environment(void *ret);
CLI("environment", "initial-cwd") void initial_cwd(void *ret);
CLI("exit", "exit") void leave(u32 status);
CLI("stdin", "get-stdin") u32 get_stdin(void);
CLI("stdout", "get-stdout") u32 get_stdout(void);
CLI("stderr", "get-stderr") u32 get_stderr(void);
CLI("terminal-stdout", "get-terminal-stdout") void get_terminal_stdout(void *ret);
IMPORT("filesystem/preopens", "get-directories") void get_directories(void *ret);
IO("[method]input-stream.blocking-read") void blocking_read(u32 s, u64 n, void *ret);
IO("[method]input-stream.subscribe") u32 subscribe(u32 s);
IMPORT("io/poll", "[method]pollable.block") void block(u32 p);
IMPORT("io/poll", "[resource-drop]pollable") void drop_pollable(u32 p);
IO("[resource-drop]input-stream") void drop_input(u32 s);
IO("[method]output-stream.blocking-write-and-flush") void blocking_write(u32 s, const char *at, u32 n, void *ret);
IO("[method]output-stream.check-write") void check_write(u32 s, void *ret);
IO("[method]output-stream.write") void stream_write(u32 s, const char *at, u32 n, void *ret);
IO("[method]output-stream.blocking-splice") void splice(u32 out, u32 in, u64 n, void *ret);
IO("[resource-drop]output-stream") void drop_output(u32 s);
IMPORT("io/error", "[resource-drop]error") void drop_error(u32 e);
FS("filesystem-error-code") void error_code(u32 error, void *ret);
DESC("open-at") void open_at(u32 d, u32 follow, const char *p, u32 n, u32 open, u32 flags, void *ret);
FS("[resource-drop]descriptor") void drop_descriptor(u32 d);
DESC("read-via-stream") void read_via_stream(u32 d, u64 off, void *ret);
DESC("write-via-stream") void write_via_stream(u32 d, u64 off, void *ret);
DESC("append-via-stream") void append_via_stream(u32 d, void *ret);
DESC("read") void read_at(u32 d, u64 n, u64 off, void *ret);
DESC("write") void write_at(u32 d, const char *p, u32 n, u64 off, void *ret);
DESC("read-directory") void read_directory(u32 d, void *ret);
FS("[method]directory-entry-stream.read-directory-entry") void read_entry(u32 e, void *ret);
FS("[resource-drop]directory-entry-stream") void drop_entries(u32 e);
DESC("stat-at") void stat_at(u32 d, u32 follow, const char *p, u32 n, void *ret);
DESC("stat") void stat_of(u32 d, void *ret);
DESC("get-flags") void get_flags(u32 d, void *ret);
DESC("get-type") void get_type(u32 d, void *ret);
DESC("sync") void sync_file(u32 d, void *ret);
DESC("sync-data") void sync_data(u32 d, void *ret);
DESC("advise") void advise(u32 d, u64 off, u64 n, u32 advice, void *ret);
DESC("set-size") void set_size(u32 d, u64 n, void *ret);
DESC("set-times") void set_times(u32 d, u32 a, u64 as, u32 an, u32 m, u64 ms, u32 mn, void *ret);
DESC("set-times-at") void set_times_at(u32 d, u32 follow, const char *p, u32 n, u32 a, u64 as, u32 an, u32 m, u64 ms, u32 mn, void *ret);
DESC("create-directory-at") void create_directory_at(u32 d, const char *p, u32 n, void *ret);
DESC("remove-directory-at") void remove_directory_at(u32 d, const char *p, u32 n, void *ret);
DESC("unlink-file-at") void unlink_file_at(u32 d, const char *p, u32 n, void *ret);
DESC("rename-at") void rename_at(u32 d, const char *p, u32 n, u32 d2, const char *p2, u32 n2, void *ret);
DESC("link-at") void link_at(u32 d, u32 follow, const char *p, u32 n, u32 d2, const char *p2, u32 n2, void *ret);
DESC("symlink-at") void symlink_at(u32 d, const char *t, u32 n, const char *p, u32 n2, void *ret);
DESC("readlink-at") void readlink_at(u32 d, const char *p, u32 n, void *ret);
DESC("is-same-object") u32 is_same_object(u32 d, u32 other);
DESC("metadata-hash") void metadata_hash(u32 d, void *ret);
DESC("metadata-hash-at") void metadata_hash_at(u32 d, u32 follow, const char *p, u32 n, void *ret);
IMPORT("clocks/wall-clock", "now") void wall_now(void *ret);
IMPORT("random/random", "get-random-bytes") void random_bytes(u64 n, void *ret);
IMPORT("sockets/instance-network", "instance-network") u32 instance_network(void);
IMPORT("sockets/ip-name-lookup", "resolve-addresses") void resolve_addresses(u32 n, const char *p, u32 size, void *ret);
IMPORT("sockets/tcp-create-socket", "create-tcp-socket") void create_tcp_socket(u32 family, void *ret);
IMPORT("sockets/udp-create-socket", "create-udp-socket") void create_udp_socket(u32 family, void *ret);
IMPORT("sockets/tcp", "[resource-drop]tcp-socket") void drop_tcp_socket(u32 s);

extern char __heap_base;
static char *heap;
__attribute__((export_name("cabi_realloc"))) void *cabi_realloc(void *old, u32 old_size, u32 align, u32 size) {
  if (!heap) heap = &__heap_base;
  heap = (char *)(((u32)heap + align - 1) & -align);
  char *at = heap;
  heap += size;
  while ((u32)heap > __builtin_wasm_memory_size(0) << 16)
    if (__builtin_wasm_memory_grow(0, 1) == (u32)-1) __builtin_trap();
  return at;
}

static u8 ret[128] __attribute__((aligned(8)));
static u32 out, root;
#define WORD(at) (*(u32 *)(ret + (at)))
#define LONG(at) (*(u64 *)(ret + (at)))

static u32 length(const char *s) {
  u32 n = 0;
  while (s[n]) n++;
  return n;
}

static void put(const char *s, u32 n) {
  u8 answer[16];
  while (n > 0) {
    u32 piece = n < 4096 ? n : 4096;
    blocking_write(out, s, piece, answer);
    if (answer[0]) __builtin_trap();
    s += piece, n -= piece;
  }
}

static void text(const char *s) { put(s, length(s)); }

static void number(u64 v) {
  char digits[20];
  int i = 20;
  do digits[--i] = '0' + v % 10;
  while (v /= 10);
  put(digits + i, 20 - i);
}

static void tell(const char *what, u64 v) { text(what), text(" "), number(v), text("\n"); }

// failed tells the error of a result whose payload is at an offset.
static int failed(u32 offset) {
  if (ret[0]) tell("error", ret[offset]);
  return ret[0];
}

// broken tells how a stream ended that did so with a stream-error at an offset.
static void broken(u32 offset) {
  if (ret[offset]) return; // closed, its proper end
  u32 error = WORD(offset + 4);
  error_code(error, ret);
  if (ret[0]) tell("error", ret[1]);
  else text("error of another kind\n");
  drop_error(error);
}

static str *words;
static u32 left;
static str next(void) {
  if (!left) __builtin_trap();
  left--;
  return *words++;
}

static void skip(u32 n) {
  while (n--) next();
}

static u64 value(void) {
  str s = next();
  u64 v = 0;
  for (u32 i = 0; i < s.size; i++) v = v * 10 + (s.at[i] - '0');
  return v;
}

static int is(str s, const char *name) {
  u32 n = length(name);
  if (s.size != n) return 0;
  for (u32 i = 0; i < n; i++)
    if (s.at[i] != name[i]) return 0;
  return 1;
}

enum { CREATE = 1, DIRECTORY = 2, EXCLUSIVE = 4, TRUNCATE = 8, READ = 1, WRITE = 2, MUTATE = 32 };

static u32 open(u32 how, u32 flags) {
  str p = next();
  open_at(root, 1, p.at, p.size, how, flags, ret);
  return failed(4) ? 0 : WORD(4);
}

static void copy(u32 in) {
  for (;;) {
    u32 p = subscribe(in);
    block(p);
    drop_pollable(p);
    blocking_read(in, 1000, ret);
    if (ret[0]) break;
    put((char *)WORD(4), WORD(8));
  }
  broken(4);
  drop_input(in);
}

static void feed(u32 sink, str s, u32 times) {
  while (times--) {
    blocking_write(sink, s.at, s.size, ret);
    if (ret[0]) {
      broken(4);
      break;
    }
  }
  drop_output(sink);
}

static void list(u32 d) {
  read_directory(d, ret);
  if (failed(4)) return;
  u32 e = WORD(4), n = 0;
  for (;;) {
    read_entry(e, ret);
    if (failed(4) || !ret[4]) break;
    if (n++ < 10) put((char *)WORD(12), WORD(16)), tell(" type", ret[8]);
  }
  tell("entries", n);
  drop_entries(e);
}

static void describe(void) {
  if (failed(8)) return;
  tell("type", ret[8]), tell("links", LONG(16)), tell("size", LONG(24));
  if (ret[56] && LONG(64) < 2000000000) tell("modified", LONG(64));
}

static void on(str w) {
  u32 d;
  str p, q;
  if (is(w, "env")) {
    get_environment(ret);
    str *e = (str *)WORD(0);
    for (u32 i = 0, n = WORD(4); i < n; i++) put(e[2 * i].at, e[2 * i].size), text("="), put(e[2 * i + 1].at, e[2 * i + 1].size), text("\n");
  } else if (is(w, "say")) {
    p = next(), put(p.at, p.size), text("\n");
  } else if (is(w, "warn")) {
    p = next();
    feed(get_stderr(), p, 1);
  } else if (is(w, "flood")) {
    for (p = next();;) put(p.at, p.size);
  } else if (is(w, "stdin")) {
    copy(get_stdin());
  } else if (is(w, "dirs")) {
    get_directories(ret);
    u32 *dirs = (u32 *)WORD(0);
    for (u32 i = 0, n = WORD(4); i < n; i++) put((char *)dirs[3 * i + 1], dirs[3 * i + 2]), text("\n");
  } else if (is(w, "cat")) {
    if (!(d = open(0, READ))) return;
    read_via_stream(d, 0, ret);
    drop_descriptor(d); // the stream goes on
    if (!failed(4)) copy(WORD(4));
  } else if (is(w, "cp")) {
    if (!(d = open(0, READ))) return;
    read_via_stream(d, 0, ret);
    u32 in = WORD(4), to = open(CREATE | EXCLUSIVE, WRITE);
    if (!to) return;
    write_via_stream(to, 0, ret);
    u32 sink = WORD(4);
    do splice(sink, in, 10, ret);
    while (!ret[0]);
    broken(8), drop_output(sink), drop_input(in), drop_descriptor(to), drop_descriptor(d);
  } else if (is(w, "write") || is(w, "append")) {
    int append = is(w, "append");
    if (!(d = open(append ? CREATE : CREATE | TRUNCATE, WRITE))) return skip(2);
    p = next();
    u32 times = value();
    if (append) append_via_stream(d, ret);
    else write_via_stream(d, 0, ret);
    if (!failed(4)) feed(WORD(4), p, times);
    drop_descriptor(d);
  } else if (is(w, "pread")) {
    if (!(d = open(0, READ))) return skip(2);
    u64 off = value(), n = value();
    read_at(d, n, off, ret);
    if (!failed(4)) put((char *)WORD(4), WORD(8)), tell(" end", ret[12]);
    drop_descriptor(d);
  } else if (is(w, "pwrite")) {
    if (!(d = open(0, WRITE))) return skip(2);
    u64 off = value();
    p = next(), write_at(d, p.at, p.size, off, ret);
    if (!failed(8)) tell("wrote", LONG(8));
    drop_descriptor(d);
  } else if (is(w, "wrong")) { // reads what is open for writing, and the other way round
    if (!(d = open(0, WRITE))) return;
    read_via_stream(d, 0, ret), failed(4), read_at(d, 1, 0, ret), failed(4), drop_descriptor(d);
    left++, words--;
    d = open(0, READ);
    write_via_stream(d, 0, ret), failed(4), append_via_stream(d, ret), failed(4), read_directory(d, ret), failed(4);
    set_size(d, 1, ret), failed(1), drop_descriptor(d);
    read_via_stream(root, 0, ret), failed(4);
  } else if (is(w, "ls")) {
    if (!(d = open(DIRECTORY, READ | MUTATE)) && !(left++, words--, d = open(DIRECTORY, READ))) return;
    list(d), drop_descriptor(d);
  } else if (is(w, "stat") || is(w, "lstat")) {
    p = next(), stat_at(root, is(w, "stat"), p.at, p.size, ret), describe();
  } else if (is(w, "fstat")) {
    if (!(d = open(0, READ))) return;
    stat_of(d, ret), describe(), get_flags(d, ret), tell("flags", ret[1]), get_type(d, ret), tell("type", ret[1]);
    sync_file(d, ret), failed(1), sync_data(d, ret), failed(1), advise(d, 0, 10, 3, ret), failed(1), drop_descriptor(d);
  } else if (is(w, "size")) {
    if (!(d = open(0, WRITE))) return skip(1);
    set_size(d, value(), ret), failed(1), drop_descriptor(d);
  } else if (is(w, "touch")) {
    p = next();
    u64 at = value();
    set_times_at(root, 1, p.at, p.size, 0, 0, 0, 2, at, 5, ret), failed(1);
    open_at(root, 1, p.at, p.size, 0, WRITE, ret);
    if (failed(4)) return;
    d = WORD(4), set_times(d, 1, 0, 0, 0, 0, 0, ret), failed(1), drop_descriptor(d);
  } else if (is(w, "mkdir")) {
    p = next(), create_directory_at(root, p.at, p.size, ret), failed(1);
  } else if (is(w, "rmdir")) {
    p = next(), remove_directory_at(root, p.at, p.size, ret), failed(1);
  } else if (is(w, "rm")) {
    p = next(), unlink_file_at(root, p.at, p.size, ret), failed(1);
  } else if (is(w, "mv")) {
    p = next(), q = next(), rename_at(root, p.at, p.size, root, q.at, q.size, ret), failed(1);
  } else if (is(w, "ln")) {
    p = next(), q = next(), link_at(root, 0, p.at, p.size, root, q.at, q.size, ret), failed(1);
  } else if (is(w, "symlink")) {
    p = next(), q = next(), symlink_at(root, p.at, p.size, q.at, q.size, ret), failed(1);
  } else if (is(w, "readlink")) {
    p = next(), readlink_at(root, p.at, p.size, ret);
    if (!failed(4)) put((char *)WORD(4), WORD(8)), text("\n");
  } else if (is(w, "same")) {
    u32 a = open(0, READ), b = a ? open(0, READ) : 0;
    if (!b) return;
    metadata_hash(a, ret);
    u64 low = LONG(8), high = LONG(16);
    metadata_hash(b, ret);
    tell("same", is_same_object(a, b)), tell("hash", low == LONG(8) && high == LONG(16));
    drop_descriptor(a), drop_descriptor(b);
  } else if (is(w, "open-many")) {
    u32 n = value(), i = 0;
    for (p = next(); i < n; i++) {
      open_at(root, 1, p.at, p.size, 0, READ, ret);
      if (failed(4)) break;
    }
    tell("opened", i);
  } else if (is(w, "sockets")) {
    create_tcp_socket(0, ret), tell("tcp", ret[0] ? ret[4] : 99);
    create_udp_socket(1, ret), tell("udp", ret[0] ? ret[4] : 99);
    resolve_addresses(instance_network(), "localhost", 9, ret), tell("name", ret[0] ? ret[4] : 99);
  } else if (is(w, "socket-handle")) {
    drop_tcp_socket(1);
  } else if (is(w, "more")) { // the rest of what there is
    initial_cwd(ret), tell("cwd", ret[0]), get_terminal_stdout(ret), tell("terminal", ret[0]);
    wall_now(ret), tell("clock", LONG(0) > 900000000), random_bytes(7, ret), tell("random", WORD(4));
    check_write(out, ret);
    u64 room = LONG(8);
    stream_write(out, "written\n", 8, ret), tell("room", room >= 8);
  } else if (is(w, "twice")) {
    drop_descriptor(root), drop_descriptor(root);
  } else if (is(w, "exit")) {
    leave(value());
  } else {
    text("no such word\n");
    __builtin_trap();
  }
}

__attribute__((export_name("wasi:cli/run@0.2.3#run"))) u32 run(void) {
  out = get_stdout();
  get_arguments(ret);
  words = (str *)WORD(0) + 1, left = WORD(4) - 1;
  get_directories(ret);
  if (WORD(4)) root = *(u32 *)WORD(0);
  while (left) {
    str w = next();
    if (is(w, "fail")) return 1;
    on(w);
  }
  return 0;
}
