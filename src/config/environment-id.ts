/** The ids of environments besides the default one. An id is part of API keys, of topics and of a path on disk. */

/** No upper case, because some file systems do not distinguish it. */
export const environmentId = /^[a-z0-9](?:[a-z0-9-]{0,30}[a-z0-9])?$/;

/** The same in words. */
export const environmentIdText =
  "1 to 32 of `a-z`, `0-9` and `-`, with a letter or a digit at the beginning and the end";
