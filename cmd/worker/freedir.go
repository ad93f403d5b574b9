package main

import (
	"context"
	"errors"
	"strconv"
	"strings"

	"boxfleet/artifacts"
	"boxfleet/executor"
)

// freeMark in cache-dir stands for a number: the worker takes the first
// directory that no other one uses. Workers of one machine then keep their
// caches apart without being told their numbers, and a worker finds the cache
// of one that has ended.
const freeMark = "{free}"

// mostWorkersOfAMachine bounds the search for a free directory.
const mostWorkersOfAMachine = 256

// openExecutor makes the sandbox; with a freeMark it settles for a directory
// and says so in s.
func (s *settings) openExecutor(ctx context.Context, store *artifacts.Store, cfg executor.Config) (e *executor.Executor, err error) {
	pattern := cfg.CacheDir
	for i := range mostWorkersOfAMachine {
		cfg.CacheDir = strings.ReplaceAll(pattern, freeMark, strconv.Itoa(i))
		e, err = executor.New(ctx, store, cfg)
		if !errors.Is(err, artifacts.ErrLocked) || cfg.CacheDir == pattern {
			break
		}
	}
	s.cacheDir = cfg.CacheDir
	return e, err
}
