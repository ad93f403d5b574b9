package main

import (
	"io"

	"github.com/spf13/cobra"
)

func meterCommand(stdout io.Writer) *cobra.Command {
	return &cobra.Command{Use: "meter FILE.wasm", Hidden: true}
}
