import path from 'node:path';
import { compileProgram } from './code-cache.mjs';

type Program = (
  exports: object,
  require: NodeJS.Require,
  module: object,
  file: string,
  folder: string,
) => void;

const file = path.join(__dirname, 'program.cjs');
const program = compileProgram(file, path.join(__dirname, 'program.cache')).runInThisContext() as Program;
program({}, require, { exports: {} }, file, __dirname);
