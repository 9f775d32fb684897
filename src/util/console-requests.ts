/** How a node tells requests of its web console from others: by the beginning of their request id. Only for display. */
export const consoleRequestPrefix = "console-";
