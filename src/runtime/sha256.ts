/** SHA-256 of many short values, with the fastest implementation of the runtime (`Platform`). */
import { platform } from "#platform";

export const sha256Bytes = 32;

export const { sha256Into, hmacWith } = platform;
