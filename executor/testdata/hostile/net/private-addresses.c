// Writes loopback, metadata and private addresses in every spelling that some resolver takes.
#include "net.h"
__attribute__((export_name("_start"))) void start(void) {
  static const char *all[] = {
    "127.0.0.1", "127.1", "2130706433", "0x7f000001", "0x7f.1", "0177.0.0.1", "0", "0.0.0.0", "127.0.0.1.", "127.255.255.254",
    "[::1]", "[::]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::127.0.0.1]", "[64:ff9b::7f00:1]", "[64:ff9b:1::7f00:1]", "[2002:7f00:1::]",
    "[2001:0:4136:e378:8000:63bf:80ff:fffe]", "169.254.169.254", "2852039166", "[fd00:ec2::254]", "[fe80::1]", "100.100.100.200", "168.63.129.16",
    "10.0.0.1", "172.16.0.1", "192.168.0.1", "100.64.0.1", "224.0.0.1", "255.255.255.255", "[ff02::1]", "[fec0::1]", "127.0.0.1:65535",
  };
  u32 response;
  for (u32 i = 0; i < sizeof all / sizeof *all; i++) MUST(get(all[i], "/", &response) == DENIED);
  proc_exit(0);
}
