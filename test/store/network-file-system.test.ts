/** Which file systems a node refuses for its database. `test/e2e/network-file-system.integration.test.ts` mounts a real one. */
import { describe, expect, test } from "bun:test";
import { mountTypeOf, networkFileSystemOf } from "../../src/store/directory/network-file-system.ts";

const fuse = 0x65735546;
const on = (type: number, mounts = "") => networkFileSystemOf("/tmp", { typeOf: () => type, mounts: () => mounts });
/** A list of mounts in which the last one holds `/tmp`. */
const mounted = (type: string) =>
  `22 1 0:20 / / rw - ext4 /dev/sda1 rw\n40 22 0:50 / /tmp rw,nosuid shared:5 - ${type} source rw\n`;

describe("a file system", () => {
  test.each([
    [0x6969, "NFS"],
    [0x517b, "SMB"],
    [0xff534d42, "SMB"],
    // As a number with a sign, which some runtimes give.
    [0xff534d42 | 0, "SMB"],
    [0xfe534d42, "SMB"],
    [0x01021997, "9p"],
    [0x00c36400, "CephFS"],
    [0x0bd00bd0, "Lustre"],
  ])("of the number %p is %s", (type, name) => expect(on(type)).toBe(name));

  test.each([
    ["ext4", 0xef53],
    ["xfs", 0x58465342],
    ["btrfs", 0x9123683e],
    ["zfs", 0x2fc12fc1],
    ["tmpfs", 0x01021994],
    ["overlayfs", 0x794c7630],
    ["f2fs", 0xf2f52010],
  ])("%s is local", (_name, type) => expect(on(type)).toBeUndefined());

  test.each(["fuse.sshfs", "fuse.s3fs", "fuse.gcsfuse", "fuse.glusterfs", "fuse.bindfs", "fuse"])(
    "behind FUSE is named: %s",
    (type) => expect(on(fuse, mounted(type))).toBe(`a FUSE file system (\`${type}\`)`),
  );

  test.each(["fuseblk", "virtiofs", "fuse.fuse-overlayfs"])("behind FUSE can be local: %s", (type) =>
    expect(on(fuse, mounted(type))).toBeUndefined(),
  );

  test("behind FUSE is refused if the system does not say which one it is", () =>
    expect(on(fuse, "")).toBe("a FUSE file system (`fuse`)"));

  test("is not refused if the system does not tell", () => {
    const fails = (): never => {
      throw new Error("not permitted");
    };
    expect(networkFileSystemOf("/tmp", { typeOf: fails, mounts: fails })).toBeUndefined();
  });

  test("of this machine is found", () => expect(networkFileSystemOf("/proc")).toBeUndefined());
});

describe("the mount of a path", () => {
  const mounts = [
    "22 1 0:20 / / rw,relatime - ext4 /dev/sda1 rw",
    "30 22 0:30 / /data rw - nfs4 server:/export rw",
    "31 30 0:31 / /data/local rw master:3 - xfs /dev/sdb rw",
    String.raw`32 22 0:32 / /my\040data rw - fuse.sshfs host:/ rw`,
    "33 22 0:33 / /twice rw - nfs server:/ rw",
    "34 33 0:34 / /twice rw - tmpfs tmpfs rw",
    "",
  ].join("\n");

  test.each([
    ["/", "ext4"],
    ["/database", "ext4"],
    ["/data", "nfs4"],
    ["/data/node", "nfs4"],
    ["/data/local/node", "xfs"],
    ["/my data/node", "fuse.sshfs"],
    ["/twice", "tmpfs"],
  ])("%s is on %s", (path, type) => expect(mountTypeOf(path, mounts)).toBe(type));

  test("is unknown in an empty list", () => expect(mountTypeOf("/data", "")).toBeUndefined());
});
