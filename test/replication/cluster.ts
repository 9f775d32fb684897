/** What the replication tests share. */

/** Repeats an expectation until it holds, for at most some seconds. */
export async function eventually(expectation: () => void | Promise<void>, withinMs = 5000): Promise<void> {
  const end = performance.now() + withinMs;
  for (;;) {
    try {
      return await expectation();
    } catch (error) {
      if (performance.now() > end) throw error;
      await Bun.sleep(10);
    }
  }
}
