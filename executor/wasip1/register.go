package wasip1

import (
	"context"
	"fmt"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
)

// function is one host function: its name, its parameters as a string of 'i'
// (i32) and 'l' (i64), and what it does. Arguments come as wazero passes them.
type function struct {
	name   string
	params string
	call   func(s *System, p []uint64) errno
}

// Call implements api.GoModuleFunction.
func (f *function) Call(ctx context.Context, mod api.Module, stack []uint64) {
	s := fromContext(ctx)
	s.enter(mod)
	stack[0] = uint64(f.call(s, stack))
}

// functions are those of the preview 1 document, in its order, but proc_exit,
// which has no result.
var functions = []function{
	{"args_get", "ii", (*System).argsGet},
	{"args_sizes_get", "ii", (*System).argsSizesGet},
	{"environ_get", "ii", (*System).environGet},
	{"environ_sizes_get", "ii", (*System).environSizesGet},
	{"clock_res_get", "ii", (*System).clockResGet},
	{"clock_time_get", "ili", (*System).clockTimeGet},
	{"fd_advise", "illi", (*System).fdAdvise},
	{"fd_allocate", "ill", (*System).fdAllocate},
	{"fd_close", "i", (*System).fdClose},
	{"fd_datasync", "i", (*System).fdDatasync},
	{"fd_fdstat_get", "ii", (*System).fdFdstatGet},
	{"fd_fdstat_set_flags", "ii", (*System).fdFdstatSetFlags},
	{"fd_fdstat_set_rights", "ill", (*System).fdFdstatSetRights},
	{"fd_filestat_get", "ii", (*System).fdFilestatGet},
	{"fd_filestat_set_size", "il", (*System).fdFilestatSetSize},
	{"fd_filestat_set_times", "illi", (*System).fdFilestatSetTimes},
	{"fd_pread", "iiili", (*System).fdPread},
	{"fd_prestat_get", "ii", (*System).fdPrestatGet},
	{"fd_prestat_dir_name", "iii", (*System).fdPrestatDirName},
	{"fd_pwrite", "iiili", (*System).fdPwrite},
	{"fd_read", "iiii", (*System).fdRead},
	{"fd_readdir", "iiili", (*System).fdReaddir},
	{"fd_renumber", "ii", (*System).fdRenumber},
	{"fd_seek", "ilii", (*System).fdSeek},
	{"fd_sync", "i", (*System).fdSync},
	{"fd_tell", "ii", (*System).fdTell},
	{"fd_write", "iiii", (*System).fdWrite},
	{"path_create_directory", "iii", (*System).pathCreateDirectory},
	{"path_filestat_get", "iiiii", (*System).pathFilestatGet},
	{"path_filestat_set_times", "iiiilli", (*System).pathFilestatSetTimes},
	{"path_link", "iiiiiii", (*System).pathLink},
	{"path_open", "iiiiillii", (*System).pathOpen},
	{"path_readlink", "iiiiii", (*System).pathReadlink},
	{"path_remove_directory", "iii", (*System).pathRemoveDirectory},
	{"path_rename", "iiiiii", (*System).pathRename},
	{"path_symlink", "iiiii", (*System).pathSymlink},
	{"path_unlink_file", "iii", (*System).pathUnlinkFile},
	{"poll_oneoff", "iiii", (*System).pollOneoff},
	{"proc_raise", "i", (*System).procRaise},
	{"sched_yield", "", (*System).schedYield},
	{"random_get", "ii", (*System).randomGet},
	{"sock_accept", "iii", (*System).sockAccept},
	{"sock_recv", "iiiiii", (*System).sockRecv},
	{"sock_send", "iiiii", (*System).sockSend},
	{"sock_shutdown", "ii", (*System).sockShutdown},
}

// Register installs the host module in a runtime. Call it once per runtime,
// before instantiating guests.
func Register(ctx context.Context, rt wazero.Runtime) error {
	if rt.Module(ModuleName) != nil {
		// wazero would notice too, but drop the first one while failing.
		return fmt.Errorf("wasip1: the runtime has a module %s already; register once per runtime", ModuleName)
	}
	b := rt.NewHostModuleBuilder(ModuleName)
	for i := range functions {
		f := &functions[i]
		params := make([]api.ValueType, len(f.params))
		for j, p := range f.params {
			params[j] = api.ValueTypeI32
			if p == 'l' {
				params[j] = api.ValueTypeI64
			}
		}
		b.NewFunctionBuilder().WithGoModuleFunction(f, params, []api.ValueType{api.ValueTypeI32}).WithName(f.name).Export(f.name)
	}
	b.NewFunctionBuilder().WithGoModuleFunction(api.GoModuleFunc(procExit), []api.ValueType{api.ValueTypeI32}, nil).WithName("proc_exit").Export("proc_exit")
	if _, err := b.Instantiate(ctx); err != nil {
		return fmt.Errorf("wasip1: install the host module %s: %w", ModuleName, err)
	}
	return nil
}
