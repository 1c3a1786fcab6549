// zlib's format (RFC 1950, 1951), unpacked at once: paper does not wait for a stream. What we pack ourselves is trusted, so
// its checksum is not looked at.

const LENGTH_BASE = [3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 17, 19, 23, 27, 31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227, 258];
const LENGTH_BITS = [0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0];
const PLACE_BASE = [1, 2, 3, 4, 5, 7, 9, 13, 17, 25, 33, 49, 65, 97, 129, 193, 257, 385, 513, 769, 1025, 1537, 2049, 3073, 4097, 6145, 8193, 12289, 16385, 24577];
const PLACE_BITS = [0, 0, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 8, 9, 9, 10, 10, 11, 11, 12, 12, 13, 13];
const CODE_ORDER = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];
const LONGEST_CODE = 15;

class Bits {
  constructor(bytes) {
    this.bytes = bytes;
    this.at = 2; // behind the two bytes of zlib's header
    this.held = 0;
    this.count = 0;
  }

  need(count) {
    while (this.count < count) {
      this.held |= this.bytes[this.at] << this.count; // zeroes behind the end
      this.at += 1;
      this.count += 8;
    }
  }

  take(count) {
    if (!count) return 0;
    this.need(count);
    const value = this.held & ((1 << count) - 1);
    this.held >>>= count;
    this.count -= count;
    return value;
  }

  // The next symbol of a code: the table has an entry for every way in which its longest code may go on.
  symbol({ table, longest }) {
    this.need(longest);
    const entry = table[this.held & ((1 << longest) - 1)];
    this.held >>>= entry & 15;
    this.count -= entry & 15;
    return entry >> 4;
  }
}

// A table of a Huffman code from the lengths of its codes: symbol * 16 + length, by the reversed bits of the code.
function codeTable(lengths) {
  const longest = Math.max(1, ...lengths);
  const counts = new Array(LONGEST_CODE + 2).fill(0);
  for (const length of lengths) if (length) counts[length] += 1;
  const next = [0, 0];
  for (let length = 1; length <= LONGEST_CODE; length += 1) next[length + 1] = (next[length] + counts[length]) << 1;
  const table = new Uint16Array(1 << longest);
  lengths.forEach((length, symbol) => {
    if (!length) return;
    let code = next[length];
    next[length] += 1;
    let reversed = 0;
    for (let bit = 0; bit < length; bit += 1, code >>= 1) reversed = (reversed << 1) | (code & 1);
    for (let at = reversed; at < table.length; at += 1 << length) table[at] = (symbol << 4) | length;
  });
  return { table, longest };
}

function fixedTables() {
  const lengths = Array.from({ length: 288 }, (_, at) => (at < 144 ? 8 : at < 256 ? 9 : at < 280 ? 7 : 8));
  return [codeTable(lengths), codeTable(new Array(30).fill(5))];
}

function writtenTables(bits) {
  const literals = bits.take(5) + 257;
  const places = bits.take(5) + 1;
  const codes = bits.take(4) + 4;
  const short = new Array(19).fill(0);
  for (let at = 0; at < codes; at += 1) short[CODE_ORDER[at]] = bits.take(3);
  const table = codeTable(short);
  const lengths = [];
  while (lengths.length < literals + places) {
    const symbol = bits.symbol(table);
    if (symbol < 16) lengths.push(symbol);
    else {
      const value = symbol === 16 ? lengths[lengths.length - 1] : 0;
      const times = symbol === 16 ? 3 + bits.take(2) : symbol === 17 ? 3 + bits.take(3) : 11 + bits.take(7);
      for (let time = 0; time < times; time += 1) lengths.push(value);
    }
  }
  return [codeTable(lengths.slice(0, literals)), codeTable(lengths.slice(literals))];
}

class Output {
  constructor(size) {
    this.bytes = new Uint8Array(size);
    this.length = 0;
  }

  room(count) {
    if (this.length + count <= this.bytes.length) return;
    const larger = new Uint8Array(2 * (this.length + count));
    larger.set(this.bytes.subarray(0, this.length));
    this.bytes = larger;
  }
}

function stored(bits, out) {
  bits.at -= bits.count >> 3; // whole bytes that were read ahead
  bits.held = 0;
  bits.count = 0;
  const count = bits.bytes[bits.at] | (bits.bytes[bits.at + 1] << 8);
  out.room(count);
  out.bytes.set(bits.bytes.subarray(bits.at + 4, bits.at + 4 + count), out.length);
  out.length += count;
  bits.at += 4 + count;
}

function coded(bits, out, [literals, places]) {
  for (;;) {
    const symbol = bits.symbol(literals);
    if (symbol === 256) return;
    out.room(258);
    if (symbol < 256) {
      out.bytes[out.length++] = symbol;
      continue;
    }
    const length = LENGTH_BASE[symbol - 257] + bits.take(LENGTH_BITS[symbol - 257]);
    const place = bits.symbol(places);
    const back = PLACE_BASE[place] + bits.take(PLACE_BITS[place]);
    const { bytes } = out;
    const until = out.length + length;
    for (let at = out.length; at < until; at += 1) bytes[at] = bytes[at - back];
    out.length = until;
  }
}

// What stands in the page, as an ArrayBuffer.
function inflated(base64) {
  const text = atob(base64);
  const packed = new Uint8Array(text.length);
  for (let at = 0; at < text.length; at += 1) packed[at] = text.charCodeAt(at);
  const bits = new Bits(packed);
  const out = new Output(4 * packed.length);
  for (let last = 0; !last; ) {
    last = bits.take(1);
    const kind = bits.take(2);
    if (kind === 0) stored(bits, out);
    else coded(bits, out, kind === 1 ? fixedTables() : writtenTables(bits));
  }
  return out.bytes.buffer.slice(0, out.length);
}
