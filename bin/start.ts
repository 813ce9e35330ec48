import { join } from 'node:path';
import { compileProgram } from './code-cache.mjs';

type Program = (
  exports: object,
  require: NodeJS.Require,
  module: object,
  file: string,
  folder: string,
) => void;

const file = join(__dirname, 'program.cjs');
const program = compileProgram(file, join(__dirname, 'program.cache')).runInThisContext() as Program;
// What is started once more (by the guard) is this file.
program({}, require, { exports: {} }, __filename, __dirname);
