// Command noop-go returns at once. Beside wat/noop.wat it shows what the Go
// runtime alone costs a guest.
package main

func main() {}
