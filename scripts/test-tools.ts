/**
 * The programs that the end-to-end tests need besides the binary. Missing ones are installed with apt-get if possible;
 * otherwise a message names them and the consequence.
 */
import * as Bun from "bun";
import { existsSync, rmSync, writeFileSync } from "node:fs";

interface Tool {
  /** One of these paths exists if it is installed. */
  readonly paths: readonly string[];
  readonly package: string;
  readonly without: string;
}

const containers = "the container tests are skipped";
const otherProcessor = "the program and the image for arm64 are not tried";

const tools: readonly Tool[] = [
  tool("mosquitto", "the tests with Mosquitto fail"),
  tool("etcd", "the tests with etcd fail", "etcd-server"),
  tool("faketime", "the chaos run sets no clocks wrong"),
  tool("zsh", "what the README and `scripts/up` suggest is not tried with zsh, nor is its completion"),
  tool("fish", "the completion for fish is not tried"),
  tool("mandoc", "the manual page is not checked with mandoc"),
  tool("pg_ctlcluster", "`ostiary reconcile` is not tried with PostgreSQL", "postgresql"),
  tool("mariadbd", "`ostiary reconcile` is not tried with MariaDB", "mariadb-server"),
  tool("prometheus", "alerts and dashboards are not tried with Prometheus"),
  tool("chromium", "the web console is not tried in a browser"),
  tool("ip", "the chaos test cuts links with proxies", "iproute2"),
  tool("bindfs", "the refusal of network file systems is not tried with a real one"),
  tool("kubectl", "the Kubernetes manifests are not rendered"),
  tool("lintian", "the Debian package is not checked with lintian"),
  tool("mmdebstrap", "the Debian package and the offline bundle are not installed"),
  tool("qemu-aarch64", otherProcessor, "qemu-user"),
  { paths: ["/usr/aarch64-linux-gnu/lib/libc.so.6"], package: "libc6-arm64-cross", without: otherProcessor },
  tool("mosquitto_pub", containers, "mosquitto-clients"),
  tool("podman", containers),
  tool("buildah", containers),
  tool("runc", containers),
  tool("podman-compose", containers),
  tool("nft", containers, "nftables"),
  { paths: ["/usr/lib/podman/netavark", "/usr/libexec/podman/netavark"], package: "netavark", without: containers },
  {
    paths: ["/usr/lib/podman/aardvark-dns", "/usr/libexec/podman/aardvark-dns"],
    package: "aardvark-dns",
    without: containers,
  },
];

/** All tools, or those of the given packages. */
export async function installTools(wanted?: readonly string[]): Promise<void> {
  const missing = tools.filter((needed) => (wanted?.includes(needed.package) ?? true) && isMissing(needed));
  if (missing.length === 0) return;
  const packages = missing.map((needed) => needed.package);
  if (process.getuid?.() === 0 && Bun.which("apt-get") !== null) {
    console.log(`installing ${packages.join(", ")}`);
    const allowServices = forbidServices();
    try {
      if (!(await aptGet("install", "--yes", "--no-install-recommends", ...packages))) {
        await aptGet("update");
        await aptGet("install", "--yes", "--no-install-recommends", ...packages);
      }
    } finally {
      allowServices();
    }
  }
  for (const { package: name, without } of missing.filter(isMissing))
    console.log(`${name} is not installed, so ${without}`);
}

function tool(program: string, without: string, packageName = program): Tool {
  return {
    paths: ["/usr/bin", "/usr/sbin", "/usr/local/bin", "/usr/local/sbin"].map((folder) => `${folder}/${program}`),
    package: packageName,
    without,
  };
}

/**
 * Debian starts the service of an installed package unless the program policy-rc.d forbids it. The tests start their
 * own servers.
 */
function forbidServices(): () => void {
  const path = "/usr/sbin/policy-rc.d";
  if (existsSync(path)) return () => {};
  writeFileSync(path, "#!/bin/sh\nexit 101\n", { mode: 0o755 });
  return () => rmSync(path, { force: true });
}

function isMissing({ paths }: Tool): boolean {
  return !paths.some((path) => existsSync(path));
}

async function aptGet(...parameters: string[]): Promise<boolean> {
  const child = Bun.spawn(["apt-get", "-qq", "-o", "Dpkg::Use-Pty=0", ...parameters], {
    env: { ...process.env, DEBIAN_FRONTEND: "noninteractive" },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
    timeout: 600_000,
  });
  const [status, output, errors] = await Promise.all([child.exited, child.stdout.text(), child.stderr.text()]);
  if (status !== 0 && parameters[0] !== "update")
    console.log(`apt-get ${parameters[0]} ended with status ${status}\n${output}${errors}`);
  return status === 0;
}
