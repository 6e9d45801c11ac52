import type { Table } from "./en";

export const words: Table = {};
