// NumPy's npz files: a zip of arrays.

import { spread } from "./table.js";

const CENTRAL = 0x02014b50;
const END = 0x06054b50;

/** @param {ArrayBuffer} buffer @returns {Promise<import("./table.js").Table>} each array a column, of two axes several */
export async function ofNpz(buffer) {
  const view = new DataView(buffer);
  let end = buffer.byteLength - 22;
  while (end >= 0 && view.getUint32(end, true) !== END) end--;
  if (end < 0) throw new Error("This is no npz file: it does not end as a zip does.");
  /** @type {[string, any[]][]} */
  const columns = [];
  let place = view.getUint32(end + 16, true);
  for (let left = view.getUint16(end + 10, true); left > 0 && view.getUint32(place, true) === CENTRAL; left--) {
    const [method, packed] = [view.getUint16(place + 10, true), view.getUint32(place + 20, true)];
    const [name, extra, comment] = [28, 30, 32].map((offset) => view.getUint16(place + offset, true));
    const start = view.getUint32(place + 42, true);
    const title = new TextDecoder().decode(new Uint8Array(buffer, place + 46, name)).replace(/\.npy$/, "");
    const from = start + 30 + view.getUint16(start + 26, true) + view.getUint16(start + 28, true);
    const bytes = new Uint8Array(buffer, from, packed);
    const content = method === 8 ? await new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate-raw"))).arrayBuffer() : buffer.slice(from, from + packed);
    columns.push([title, array(content, title)]);
    place += 46 + name + extra + comment;
  }
  return spread(columns);
}

/** @param {ArrayBuffer} buffer @param {string} name @returns {any[]} */
function array(buffer, name) {
  const view = new DataView(buffer);
  const long = view.getUint8(6) > 1;
  const start = long ? 12 : 10;
  const size = long ? view.getUint32(8, true) : view.getUint16(8, true);
  const head = new TextDecoder("latin1").decode(new Uint8Array(buffer, start, size));
  const [, kind, width] = /'descr': '[<|=]?([fiub])(\d+)'/.exec(head) ?? [];
  const shape = (/'shape': \(([^)]*)\)/.exec(head)?.[1] ?? "").split(",").filter((part) => part.trim()).map(Number);
  const read = /** @type {Record<string, (at: number) => number | bigint | boolean>} */ ({
    f8: (at) => view.getFloat64(at, true), f4: (at) => view.getFloat32(at, true),
    i8: (at) => view.getBigInt64(at, true), i4: (at) => view.getInt32(at, true), i2: (at) => view.getInt16(at, true), i1: (at) => view.getInt8(at),
    u8: (at) => view.getBigUint64(at, true), u4: (at) => view.getUint32(at, true), u2: (at) => view.getUint16(at, true), u1: (at) => view.getUint8(at),
    b1: (at) => view.getUint8(at) === 1,
  })[`${kind}${width}`];
  if (!read || shape.length < 1 || shape.length > 2 || head.includes("'fortran_order': True")) throw new Error(`The array ${name} is none of one or two axes of numbers, row by row.`);
  const [rows, across] = [shape[0], shape[1] ?? 1];
  const number = (/** @type {number} */ index) => {
    const value = read(start + size + index * Number(width));
    return typeof value === "bigint" ? Number(value) : typeof value === "number" && !Number.isFinite(value) ? null : value;
  };
  return Array.from({ length: rows }, (_, row) => (shape.length === 1 ? number(row) : Array.from({ length: across }, (__, column) => number(row * across + column))));
}
