"""The one style sheet of the report; colours for light and dark, contrast at least 4.5 for text."""

CSS = """
:root { color-scheme: light dark; --back: #fff; --text: #1c2430; --faint: #586374; --line: #d5dae1; --card: #f5f7f9;
  --focus: #0b57d0; --ink: #10151c; }
@media (prefers-color-scheme: dark) { :root { --back: #14181e; --text: #e4e8ee; --faint: #a3adba; --line: #39424e;
  --card: #1c222a; --focus: #8ab4f8; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.5rem; max-width: 66rem; font: 16px/1.5 system-ui, sans-serif; background: var(--back);
  color: var(--text); }
h1 { font-size: 1.7rem; margin: 0; } h2 { font-size: 1.25rem; margin: 2.5rem 0 .6rem; } h3 { font-size: 1rem; }
p { margin: .3rem 0 .8rem; } .faint, caption, figcaption { color: var(--faint); font-size: .9rem; }
.figures { display: flex; flex-wrap: wrap; gap: .8rem; padding: 0; margin: 1.2rem 0; list-style: none; }
.figures li { background: var(--card); border: 1px solid var(--line); border-radius: .5rem; padding: .6rem 1rem;
  min-width: 9.5rem; }
.figures b { display: block; font-size: 1.35rem; }
nav a { margin-right: 1rem; } a { color: var(--focus); }
:focus-visible { outline: 3px solid var(--focus); outline-offset: 2px; border-radius: 2px; }
svg { display: block; width: 100%; height: auto; } svg text { font: 13px system-ui, sans-serif; fill: var(--ink); }
svg text.head { font-weight: 600; } svg a:focus-visible { outline: none; }
svg rect { stroke: var(--back); stroke-width: 1.5; }
svg rect.ring { stroke: none; } svg a:hover rect.ring { stroke: var(--ink); stroke-width: 2; }
svg a:focus-visible rect.ring { stroke: var(--ink); stroke-width: 4; }
figure { margin: 0; }
table { border-collapse: collapse; width: 100%; } caption { text-align: left; padding: .3rem 0; }
th, td { text-align: left; padding: .3rem .6rem .3rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
.scroll { overflow-x: auto; }
details { border-bottom: 1px solid var(--line); } details details { margin-left: 1.3rem; border: 0; }
summary { display: list-item; padding: .3rem .2rem; cursor: pointer; }
summary .n, li .n { float: right; font-variant-numeric: tabular-nums; }
details ul { list-style: none; margin: 0 0 .4rem 1.3rem; padding: 0; font: .85rem/1.6 ui-monospace, monospace; }
details li { border-top: 1px dotted var(--line); overflow-wrap: anywhere; }
.row { display: grid; grid-template-columns: 12rem 1fr 6.5rem; gap: .8rem; align-items: center; padding: .18rem 0; }
.row > span:last-child { text-align: right; font-variant-numeric: tabular-nums; }
.track { position: relative; height: 1.1rem; background: var(--card); border: 1px solid var(--line); border-radius: 3px;
  overflow: hidden; display: flex; }
.bar { position: absolute; top: 0; bottom: 0; min-width: 2px; } .piece { min-width: 1px; height: 100%; }
.tag { display: inline-block; border: 1px solid var(--line); border-radius: 1rem; padding: 0 .55rem; font-size: .8rem;
  color: var(--faint); }
.key { display: inline-block; width: .8rem; height: .8rem; border-radius: 2px; margin: 0 .3rem 0 1rem; }
@media (max-width: 40rem) { .row { grid-template-columns: 7rem 1fr 5rem; } body { padding: .8rem; } }
@media print { details { break-inside: avoid; } }
"""

#: fills that dark text can be read on
COLOURS = (
    "#8fb8de",
    "#f2b880",
    "#a3cfa0",
    "#e79a9a",
    "#c3b1e1",
    "#e5d27a",
    "#8fd0ca",
    "#e0a8c8",
    "#b9c26b",
    "#c8b6a6",
)
