import { afterToolProgram } from './tool-program.js';
import { readToolArguments } from './tool-arguments.js';
import { PRISMA, SELF_RECOVERING, type Tool, type ToolName } from './tools.js';

export interface RecognizedTool {
  tool: ToolName;
  /** The command that releases the tool's lock: the same words before it, and the same connection options. */
  recovery: readonly string[];
}

/** The tool that a command runs, where that is certain, and its lock is one that recovers by itself. */
export function recognizeTool(argv: readonly string[]): RecognizedTool | undefined {
  for (const tool of SELF_RECOVERING) {
    const recognized = recognize(argv, tool);
    if (recognized !== undefined) return { tool: tool.name, recovery: recognized.recovery };
  }
  return undefined;
}

/** A command that runs `prisma migrate deploy`, and `prisma migrate resolve` in the same way. */
export function recognizePrisma(
  argv: readonly string[],
): { resolve: readonly string[]; connection: ReadonlyMap<string, string> } | undefined {
  const recognized = recognize(argv, PRISMA);
  return recognized && { resolve: recognized.recovery, connection: recognized.connection };
}

function recognize(
  argv: readonly string[],
  tool: Tool,
): { recovery: readonly string[]; connection: ReadonlyMap<string, string> } | undefined {
  const end = afterToolProgram(argv, tool);
  if (end === undefined) return undefined;
  const read = readToolArguments(tool, argv.slice(end));
  return read && { ...read, recovery: [...argv.slice(0, end), ...read.recovery] };
}
