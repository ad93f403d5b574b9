// A bytecode interpreter: br_table in a loop.
enum { PUSH, ADD, SUB, DUP, SWAP, JNZ, POP, LOAD, STORE, MUL, HALT };
static const unsigned char code[] = {
    PUSH, 0, STORE, 1,                       // sum = 0
    LOAD, 1, LOAD, 0, PUSH, 3, MUL, ADD, STORE, 1, // sum += 3 * n
    LOAD, 0, PUSH, 1, SUB, DUP, STORE, 0,    // n--
    JNZ, 4, LOAD, 1, PUSH, 7, SWAP, SUB, HALT,
};
unsigned run(unsigned n) {
  unsigned stack[16], reg[2] = {n ? n : 1, 0};
  int sp = 0;
  for (const unsigned char *pc = code;;) {
    switch (*pc++) {
    case PUSH: stack[sp++] = *pc++; break;
    case ADD: sp--; stack[sp - 1] += stack[sp]; break;
    case SUB: sp--; stack[sp - 1] -= stack[sp]; break;
    case MUL: sp--; stack[sp - 1] *= stack[sp]; break;
    case DUP: stack[sp] = stack[sp - 1]; sp++; break;
    case SWAP: { unsigned t = stack[sp - 1]; stack[sp - 1] = stack[sp - 2]; stack[sp - 2] = t; break; }
    case JNZ: { int to = *pc++; if (stack[--sp]) pc = code + to; break; }
    case POP: sp--; break;
    case LOAD: stack[sp++] = reg[*pc++]; break;
    case STORE: reg[*pc++] = stack[--sp]; break;
    default: return stack[sp - 1];
    }
  }
}
