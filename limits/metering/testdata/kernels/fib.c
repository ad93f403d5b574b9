// Recursion with little work in each call.
static unsigned fib(unsigned n) { return n < 2 ? n : fib(n - 1) + fib(n - 2); }
unsigned run(unsigned n) { return fib(n); }
