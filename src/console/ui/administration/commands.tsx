/** Commands to copy into a terminal. */

export function Commands({ lines }: { readonly lines: readonly string[] }) {
  return (
    <pre class="commands" tabIndex={0}>
      {lines.join("\n")}
    </pre>
  );
}
