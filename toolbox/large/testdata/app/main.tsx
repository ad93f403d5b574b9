import { total, type Order } from "./orders";
import config from "./config.json";

declare const VERSION: string;

const Row = ({ name, cents }: { name: string; cents: number }) => <li title={name}>{(cents / 100).toFixed(2)}</li>;

function h(tag: unknown, attributes: object | null, ...children: unknown[]): string {
  if (typeof tag === "function") return tag({ ...attributes, children });
  const text = Object.entries(attributes ?? {}).map(([key, value]) => ` ${key}="${value}"`).join("");
  return `<${tag}${text}>${children.join("")}</${tag}>`;
}

const orders: Order[] = [
  { item: "kettle", cents: 1250, count: 2 },
  { item: "rope", cents: 375, count: 4 },
];

export const page: string = <Row name={`${config.shop} ${VERSION}`} cents={total(orders)} />;
