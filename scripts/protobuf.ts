/**
 * The part of the protobuf wire format that OTLP needs: a message becomes a map from field numbers to raw values, in
 * order. The caller knows the meaning of the fields. A library would need a schema compiler.
 */
export type Message = ReadonlyMap<number, readonly Value[]>;
type Value = bigint | Uint8Array;

export function readMessage(bytes: Uint8Array): Message {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const fields = new Map<number, Value[]>();
  let at = 0;

  const varint = (): bigint => {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const byte = view.getUint8(at++);
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
  };
  const take = (length: number): Uint8Array => {
    if (at + length > bytes.length) throw new RangeError("protobuf message ends inside a field");
    at += length;
    return bytes.subarray(at - length, at);
  };
  const value = (wireType: number): Value => {
    switch (wireType) {
      case 0:
        return varint();
      case 1:
        return littleEndian(take(8));
      case 2:
        return take(Number(varint()));
      case 5:
        return littleEndian(take(4));
      default:
        throw new RangeError(`protobuf wire type ${wireType} is not in use`);
    }
  };

  while (at < bytes.length) {
    const tag = Number(varint());
    const values = fields.get(tag >> 3) ?? [];
    values.push(value(tag & 7));
    fields.set(tag >> 3, values);
  }
  return fields;
}

export const messages = (message: Message, field: number): Message[] =>
  (message.get(field) ?? []).filter((value) => value instanceof Uint8Array).map(readMessage);

export const bytes = (message: Message, field: number): Uint8Array => {
  const value = message.get(field)?.at(-1);
  return value instanceof Uint8Array ? value : new Uint8Array();
};

export const text = (message: Message, field: number): string => new TextDecoder().decode(bytes(message, field));

export const integer = (message: Message, field: number): bigint => {
  const value = message.get(field)?.at(-1);
  return typeof value === "bigint" ? value : 0n;
};

const littleEndian = (raw: Uint8Array): bigint => raw.reduceRight((value, byte) => (value << 8n) | BigInt(byte), 0n);
