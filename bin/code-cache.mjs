// The program's code as V8 has compiled it, beside the program: to compile it anew would be a sixth of a whole run.
import { readFileSync } from 'node:fs';
import { Script } from 'node:vm';

/**
 * Compiled code is good for one Node.js alone. V8 looks at its own version and flags too, and compiles anew what is not for it.
 * It lies in the package and nowhere else: a folder for caches would be one that others may write to.
 */
const MADE_FOR = Buffer.from(`${process.version} ${process.platform} ${process.arch}\n`);

/**
 * The program, from the cache when there is one for this Node.js and this very text: a function that takes what Node.js gives
 * a CommonJS module.
 * @param {string} file
 * @param {string} cacheFile
 * @returns {Script}
 */
export function compileProgram(file, cacheFile) {
  const text = readFileSync(file);
  const cachedData = readCache(cacheFile, text);
  return new Script(text.toString(), { filename: file, ...(cachedData === undefined ? {} : { cachedData }) });
}

/**
 * What a cache holds: for which Node.js it is, the text that it was made of, and the code. V8 itself compares no more than
 * the length of a text: whoever changes a character of the program must not go on running what it was before.
 * @param {Buffer} text
 * @param {Buffer} code
 */
export function makeCache(text, code) {
  return Buffer.concat([MADE_FOR, text, code]);
}

/**
 * @param {string} cacheFile
 * @param {Buffer} text
 * @returns {Buffer | undefined} the code; undefined when there is none that fits
 */
function readCache(cacheFile, text) {
  try {
    const cache = readFileSync(cacheFile);
    const start = MADE_FOR.length + text.length;
    const isFor = cache.subarray(0, MADE_FOR.length).equals(MADE_FOR);
    return isFor && cache.subarray(MADE_FOR.length, start).equals(text) ? cache.subarray(start) : undefined;
  } catch {
    return undefined; // it is only there to save time
  }
}
