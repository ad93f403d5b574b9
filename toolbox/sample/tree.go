package main

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"time"
)

var (
	services = []string{"intake", "ledger", "mailer", "router"}
	verbs    = []string{"accepted", "checked", "stored", "forwarded", "dropped"}
	objects  = []string{"order", "invoice", "parcel", "refund", "stock report"}
	failures = []string{"connection refused", "disk full", "deadline exceeded", "checksum mismatch"}
)

// tree is a small project below tree/, by slash path.
func tree() map[string][]byte {
	random := rand.New(rand.NewPCG(5, 6))
	files := make(map[string][]byte)
	for _, service := range services {
		for day := range 3 {
			files[fmt.Sprintf("tree/logs/%s/2025-03-%02d.log", service, day+1)] = log(random, day, 200)
		}
		files["tree/src/"+service+"/"+service+".go"] = code(random, service)
		files["tree/notes/"+service+".md"] = notes(random, service)
	}
	files["tree/notes/faults.bin"] = binary(random, 2048)
	files["tree/README.txt"] = []byte("A made-up project. grep, find, ls, wc and file-glob are shown on it.\n")
	return files
}

func log(random *rand.Rand, day, lines int) []byte {
	at := time.Date(2025, 3, day+1, 0, 0, 0, 0, time.UTC)
	var b bytes.Buffer
	for range lines {
		at = at.Add(time.Duration(1+random.IntN(800)) * time.Second)
		pick := func(list []string) string { return list[random.IntN(len(list))] }
		if random.IntN(20) == 0 {
			fmt.Fprintf(&b, "%s ERROR %s %d not %s: %s\n", at.Format(time.DateTime), pick(objects), random.IntN(9000), pick(verbs), pick(failures))
			continue
		}
		fmt.Fprintf(&b, "%s INFO %s %d %s in %d ms\n", at.Format(time.DateTime), pick(objects), random.IntN(9000), pick(verbs), random.IntN(500))
	}
	return b.Bytes()
}

func code(random *rand.Rand, service string) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "// Package %s is made up.\npackage %s\n", service, service)
	for _, verb := range verbs {
		fmt.Fprintf(&b, "\n// %s counts what was %s.\nfunc %s(n int) int {\n\treturn n*%d + %d\n}\n",
			verb, verb, verb, 1+random.IntN(9), random.IntN(100))
	}
	return b.Bytes()
}

func notes(random *rand.Rand, service string) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "# The %s\n\n| what | how many |\n|---|---|\n", service)
	for _, object := range objects {
		fmt.Fprintf(&b, "| %s | %d |\n", object, random.IntN(1000))
	}
	fmt.Fprintf(&b, "\n- [ ] say what happens on *%s*\n- [x] **never** drop a %s\n", failures[0], objects[0])
	return b.Bytes()
}

func binary(random *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(random.Uint32())
	}
	copy(b, "ERROR\x00")
	return b
}
