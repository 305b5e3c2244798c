#!/usr/bin/env python3
"""Lists what is in a program, as a CycloneDX 1.5 document on standard output.

Usage: sbom.py PROGRAM BINARY TARGET FEATURES      (as in: sbom.py cfp-server path/to/cfp-server x86_64-unknown-linux-gnu tls)

From `cargo tree`, which knows what is linked. Tools that ask `cargo metadata` would list the features of tests, too."""
import datetime, hashlib, json, os, pathlib, re, subprocess, sys, tomllib
from time import time as now


def run(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


if len(sys.argv) != 5:
    sys.exit(__doc__)
program, binary, target, features = sys.argv[1:]
os.chdir(pathlib.Path(__file__).parent.parent)
own = tomllib.loads(pathlib.Path("Cargo.toml").read_text())["package"]
lock = tomllib.loads(pathlib.Path("Cargo.lock").read_text())["package"]
checksums = {(package["name"], package["version"]): package.get("checksum") for package in lock}

# Each line is its depth, name, version and licence: the tree gives who depends on whom. Procedural macros run while the
# program is built, and are not in it.
tree = run("cargo", "tree", "--locked", "--edges", "normal,no-proc-macro", "--no-dedupe", "--prefix", "depth", "--target", target,
           "--features", features, "--format", "\t{p}\t{l}")
components, dependencies, branch = {}, {}, []
for line in tree.splitlines():
    depth, package, licence = line.split("\t")
    name, version = re.match(r"(\S+) v(\S+)", package).groups()
    reference = f"pkg:cargo/{name}@{version}"
    branch[int(depth):] = [reference]
    dependencies.setdefault(reference, set())
    if len(branch) > 1:
        dependencies[branch[-2]].add(reference)
        components[reference] = {
            "type": "library", "bom-ref": reference, "name": name, "version": version, "purl": reference,
            "licenses": [{"expression": licence.replace("/", " OR ")}],
            "hashes": [{"alg": "SHA-256", "content": checksums[name, version]}]}

# What rustc adds to every program, and the libc of a static one.
rust = re.search(r"^release: (\S+)", run("rustc", "-vV"), re.M)[1]
components["rust-std"] = {
    "type": "library", "bom-ref": "rust-std", "name": "rust-std", "version": rust,
    "licenses": [{"expression": "MIT OR Apache-2.0"}]}
if target.endswith("-musl"):
    libc = {"name": "musl", "description": "as it comes with rust-std", "licenses": [{"expression": "MIT"}]}
else:
    libc = {"name": "glibc", "version": run("getconf", "GNU_LIBC_VERSION").split()[1],
            "licenses": [{"expression": "LGPL-2.1-or-later"}]}
components["libc"] = {"type": "library", "bom-ref": "libc"} | libc

time = datetime.datetime.fromtimestamp(int(os.environ.get("SOURCE_DATE_EPOCH") or now()), datetime.timezone.utc)
root = f"pkg:cargo/{own['name']}@{own['version']}"
dependencies[root] |= {"rust-std", "libc"}
json.dump({
    "$schema": "http://cyclonedx.org/schema/bom-1.5.schema.json", "bomFormat": "CycloneDX", "specVersion": "1.5",
    "version": 1,
    "metadata": {
        "timestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "component": {
            "type": "application", "bom-ref": root, "name": program, "version": own["version"], "purl": root,
            "licenses": [{"expression": own["license"]}],
            "hashes": [{"alg": "SHA-256", "content": hashlib.sha256(pathlib.Path(binary).read_bytes()).hexdigest()}]}},
    "components": [components[reference] for reference in sorted(components)],
    "dependencies": [{"ref": reference, "dependsOn": sorted(set(dependencies.get(reference, ())) & set(components))}
                     for reference in [root, *sorted(components)]]}, sys.stdout, indent=1)
print()
