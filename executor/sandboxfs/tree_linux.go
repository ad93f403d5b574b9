package sandboxfs

// node is a directory of a mount that has mounts below it, or is covered by one.
// Guests cannot rename or remove such a directory (EBUSY), so a mount keeps its place.
type node struct {
	children map[string]*node
	mount    *mount // the mount that covers this directory, or nil
}

func (n *node) child(name string) *node {
	if n == nil {
		return nil
	}
	return n.children[name]
}

func (n *node) add(name string) *node {
	if c := n.children[name]; c != nil {
		return c
	}
	if n.children == nil {
		n.children = map[string]*node{}
	}
	c := new(node)
	n.children[name] = c
	return c
}
