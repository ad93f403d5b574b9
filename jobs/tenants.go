package jobs

// MaxWeight is the most a tenant may weigh.
const MaxWeight = 1000
