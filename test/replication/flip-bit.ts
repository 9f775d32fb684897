/** Simulates the damage of a file by a disk. */
import { closeSync, openSync, readSync, writeSync } from "node:fs";

/** Flips one bit, `bit` from 0 to 7, of a file that others may have open. */
export function flipBit(path: string, position: number, bit: number): void {
  const file = openSync(path, "r+");
  const byte = Buffer.alloc(1);
  readSync(file, byte, 0, 1, position);
  byte.writeUInt8(byte.readUInt8(0) ^ (1 << bit));
  writeSync(file, byte, 0, 1, position);
  closeSync(file);
}
