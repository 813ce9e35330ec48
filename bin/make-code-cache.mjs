// node --random-seed=1 bin/make-code-cache.mjs PROGRAM CACHE: a fixed seed, as the cache depends on the order of V8's hash
// tables, and two builds must be the same.
import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { setFlagsFromString } from 'node:v8';
import { Script } from 'node:vm';
import { makeCache } from './code-cache.mjs';

const [program = '', cache = ''] = process.argv.slice(2);
const text = readFileSync(program);
// V8 would otherwise leave each function to its first call, and out of the cache.
setFlagsFromString('--no-lazy');
// The name is kept with the code: in stack traces, no folder of who built it.
const script = new Script(text.toString(), { filename: 'program.cjs' });
// A cache is only taken by a V8 with the same flags.
setFlagsFromString('--lazy');
const beside = `${cache}.${process.pid}`;
writeFileSync(beside, makeCache(text, script.createCachedData()));
renameSync(beside, cache);
