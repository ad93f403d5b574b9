package wasihttp

import (
	"encoding/binary"
	"io"
)

// randomPiece is how much randomness is made between two looks at the Interrupter.
const randomPiece = 64 << 10

var (
	randomFunctions = []*function{
		{"get-random-bytes", sig(i64, i32), nil, randomBytes},
		{"get-random-u64", nil, sig(i64), func(c *call, s []uint64) { s[0] = c.random64() }},
	}
	insecureFunctions = []*function{
		{"get-insecure-random-bytes", sig(i64, i32), nil, randomBytes},
		{"get-insecure-random-u64", nil, sig(i64), func(c *call, s []uint64) { s[0] = c.random64() }},
	}
	seedFunctions = []*function{
		{"insecure-seed", sig(i32), nil, func(c *call, s []uint64) {
			ret := c.ret(s[0], 8, 16)
			c.put64(ret, c.random64())
			c.put64(ret+8, c.random64())
		}},
	}
)

// randomBytes fills memory that the guest has made room for, so its own memory limit bounds the length.
func randomBytes(c *call, s []uint64) {
	n, ret := s[0], c.ret(s[1], 4, 8)
	ptr := c.alloc(1, n)
	var piece [randomPiece]byte
	for done := uint64(0); done < n; {
		b := piece[:min(n-done, randomPiece)]
		c.randomRead(b)
		c.put(ptr+uint32(done), b)
		done += uint64(len(b))
		if c.h.cfg.Interrupter != nil {
			if err := c.h.cfg.Interrupter.Check(); err != nil {
				panic(err)
			}
		}
	}
	c.put32(ret, ptr)
	c.put32(ret+4, uint32(n))
}

func (c *call) random64() uint64 {
	var b [8]byte
	c.randomRead(b[:])
	return binary.LittleEndian.Uint64(b[:])
}

func (c *call) randomRead(b []byte) {
	if _, err := io.ReadFull(c.h.cfg.Rand, b); err != nil {
		c.trap("the source of randomness failed: %v", err)
	}
}
