export interface Order {
  item: string;
  cents: number;
  count?: number;
}

export const total = (orders: Order[]): number => orders.reduce((sum, o) => sum + o.cents * (o.count ?? 1), 0);

/** Nobody asks for this: a bundle leaves it out. */
export const average = (orders: Order[]): number => total(orders) / orders.length;
