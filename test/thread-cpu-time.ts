/** Milliseconds that this thread has worked so far. Unlike by a clock, what else the machine does meanwhile is not counted. */
export function threadCpuMs(): number {
  const { user, system } = process.threadCpuUsage();
  return (user + system) / 1000;
}
