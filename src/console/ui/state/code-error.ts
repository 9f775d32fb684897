/** A part of the console could not be loaded: the node is away, or has another version of the console by now. */
export class CodeError extends Error {}
