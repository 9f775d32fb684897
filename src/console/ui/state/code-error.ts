/**
 * A part of the console could not be loaded although the node answers: it has another version of the console by now, or
 * the browser keeps the failure of an earlier attempt.
 */
export class CodeError extends Error {}
