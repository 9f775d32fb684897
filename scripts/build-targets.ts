/** The platforms for which there is a binary: those whose Bun the npm registry has. */

export interface BuildTarget {
  /** As `scripts/build` takes it. */
  readonly name: string;
  /** The ending of the file. */
  readonly suffix: string;
  readonly platform: string;
  /** How this project runs it; undefined if no test does. */
  readonly tested?: string;
}

export const buildTargets: readonly BuildTarget[] = [
  target("linux-x64", "Linux with the GNU C library, x64", "all tests"),
  target("linux-x64-baseline", "the same, for processors without AVX2", "decisions, on an emulated processor"),
  target("linux-arm64", "Linux with the GNU C library, arm64", "decisions, on an emulated processor"),
  target("linux-x64-musl", "Linux with musl, such as Alpine, x64"),
  target("linux-arm64-musl", "Linux with musl, such as Alpine, arm64"),
  target("darwin-x64", "macOS, x64"),
  target("darwin-arm64", "macOS, arm64"),
  { ...target("windows-x64", "Windows, x64"), suffix: ".exe" },
];

function target(name: string, platform: string, tested?: string): BuildTarget {
  return { name, suffix: "", platform, ...(tested === undefined ? {} : { tested }) };
}

/** The two processors of packages, bundles and images, by their names in Debian. */
export const architectures = ["amd64", "arm64"] as const;
export type Architecture = (typeof architectures)[number];

export const targetOf: Readonly<Record<Architecture, string>> = { amd64: "linux-x64", arm64: "linux-arm64" };

/** That of this machine. */
export const ownArchitecture: Architecture = process.arch === "arm64" ? "arm64" : "amd64";
