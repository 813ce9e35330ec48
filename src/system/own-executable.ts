/**
 * The file that this process runs, also after another one was put in its place. Only the process itself can use this name: for
 * any other it is its own file.
 */
export const OWN_EXECUTABLE = '/proc/self/exe';
