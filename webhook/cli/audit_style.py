"""The style of the audit's page: one sheet, for light and dark screens and for paper."""

from __future__ import annotations

from typing import Final

SHEET: Final = """
:root{color-scheme:light dark;--bg:#f6f7f9;--card:#fff;--ink:#1b2028;--soft:#59636f;--line:#dde1e7;--zebra:#fafbfc;
--done:#14746b;--would:#d9902b;--bad:#b3261e;--badbg:#fbeceb;--warn:#8a5a00;--warnbg:#fdf3e0;--ok:#14746b;--okbg:#e6f3f1;
--chip:#eef1f5;--mono:ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace}
@media (prefers-color-scheme:dark){:root{--bg:#13161b;--card:#1b1f26;--ink:#e7eaee;--soft:#a3adb8;--line:#2f3640;
--zebra:#1f242c;--done:#46b5a8;--would:#e2a64f;--bad:#ff9d94;--badbg:#3a1f1f;--warn:#eebf6b;--warnbg:#35290f;--ok:#6fcdc1;
--okbg:#17302d;--chip:#2a313b}}
*{box-sizing:border-box}
body{margin:0;background:var(--bg);color:var(--ink);font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,
"Helvetica Neue",Arial,sans-serif;-webkit-text-size-adjust:100%}
.page{max-width:1240px;margin:0 auto;padding:32px 24px 48px}
h1{font-size:26px;line-height:1.2;margin:0 0 6px;letter-spacing:-.01em}
h2{font-size:18px;margin:0 0 4px}
p{margin:0 0 12px}
header{margin-bottom:22px}
header p,.soft,.hint{color:var(--soft)}
header p{margin:0;overflow-wrap:anywhere}
.hint{font-size:13.5px;max-width:112ch}
section{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:20px 22px;margin:0 0 18px}
.cards{display:grid;grid-template-columns:repeat(auto-fit,minmax(168px,1fr));gap:12px;margin:0 0 18px;padding:0}
.cards>div{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:14px 16px}
.cards dt{font-size:13px;color:var(--soft)}
.cards dd{margin:0}
.cards .big{font-size:25px;line-height:1.3;font-weight:650;font-variant-numeric:tabular-nums;letter-spacing:-.01em}
.cards .note{font-size:13px;color:var(--soft)}
.cards .done .big{color:var(--done)}
.cards .would .big{color:var(--warn)}
.cards .bad .big{color:var(--bad)}
.scroll{overflow-x:auto;margin:8px -22px -6px;padding:0 22px 6px}
thead .n{white-space:normal;min-width:62px}
.scroll:focus-visible{outline:2px solid var(--done);outline-offset:-2px}
table{border-collapse:collapse;width:100%;font-size:14px}
th{font-size:12.5px;font-weight:600;color:var(--soft);text-align:left;vertical-align:bottom;padding:6px 10px;
border-bottom:1px solid var(--line)}
tbody th{font-size:14px;font-weight:600;color:var(--ink);white-space:normal;overflow-wrap:anywhere;min-width:170px;
max-width:320px;vertical-align:top;border-bottom:0}
td{padding:7px 10px;vertical-align:top}
tbody tr{border-bottom:1px solid var(--line)}
tbody tr:last-child{border-bottom:0}
tbody tr.more{border-bottom:1px solid var(--line)}
tbody tr.first{border-bottom:0}
tr.more td{padding-top:0}
tr>:first-child{padding-left:0}
tr>:last-child{padding-right:0}
.n{text-align:right;white-space:nowrap;font-variant-numeric:tabular-nums}
.z{color:var(--soft)}
.wide{min-width:200px;max-width:420px;overflow-wrap:anywhere}
.where{font-family:var(--mono);font-size:13px;font-weight:400;overflow-wrap:anywhere}
.tag{display:inline-block;border-radius:5px;padding:0 7px;font-size:12.5px;line-height:20px;background:var(--chip);
color:var(--ink);max-width:100%;overflow-wrap:anywhere;margin:0 4px 3px 0}
.tag.bad{background:var(--badbg);color:var(--bad)}
.tag.warn,.tag.audit{background:var(--warnbg);color:var(--warn)}
.tag.enforce{background:var(--okbg);color:var(--ok)}
.none{border-left:3px solid var(--ok);padding:2px 12px;margin:10px 0 2px}
details{margin:2px 0 4px;font-size:13.5px}
summary{cursor:pointer;color:var(--soft);width:fit-content}
details table{font-size:13.5px;margin:4px 0 6px;width:auto}
details ul{margin:4px 0 6px;padding-left:20px}
svg{display:block;max-width:100%;height:auto}
.chart text{fill:var(--soft);font-size:12px;font-family:inherit;font-variant-numeric:tabular-nums}
.chart .bar{fill:var(--done)}
.chart .rest{fill:var(--would)}
.chart .axis{stroke:var(--line);stroke-width:1}
.meter{margin-top:4px}
.meter .bg{fill:var(--chip)}
.meter .d{fill:var(--done)}
.meter .w{fill:var(--would)}
.key{display:inline-block;width:10px;height:10px;border-radius:2px;margin:0 5px 0 0}
.key.d{background:var(--done)}
.key.w{background:var(--would);margin-left:12px}
footer{color:var(--soft);font-size:13.5px;margin-top:22px}
footer dt{font-weight:600;color:var(--ink)}
footer dd{margin:0 0 8px;max-width:95ch}
.hidden{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%);white-space:nowrap}
@media (max-width:640px){.plot{overflow-x:auto}.chart{min-width:600px}
.page{padding:20px 12px}section{padding:16px 14px}
.scroll{margin:8px -14px -6px;padding:0 14px 6px}}
@media print{@page{size:landscape;margin:12mm}
:root{color-scheme:light;--bg:#fff;--card:#fff;--ink:#000;--soft:#444;--line:#bbb;--zebra:#fff;--done:#14746b;
--would:#c27c17;--bad:#a11;--badbg:#fff;--warn:#7a5000;--warnbg:#fff;--ok:#14746b;--okbg:#fff;--chip:#eee}
body{font-size:10.5pt}.page{max-width:none;padding:0}section{border:0;padding:0;margin:0 0 16pt}
.cards{grid-template-columns:repeat(5,1fr);gap:6pt}.cards>div{padding:6pt 8pt;break-inside:avoid}
.cards .big{font-size:15pt}
.scroll{overflow:visible;margin:6pt 0 0;padding:0}table{font-size:8.5pt}th{font-size:8pt;white-space:normal}
tbody th{font-size:8.5pt;min-width:90pt}td,th{padding:3pt 5pt}.wide{min-width:110pt}.where{font-size:8pt}
.tag{display:inline;border:0;padding:0;background:none;margin:0 6pt 0 0;font-size:8pt}
tr,svg{break-inside:avoid}h2,.hint{break-after:avoid}.hint{break-inside:avoid}.long{display:none}thead{display:table-header-group}
details::details-content{content-visibility:visible;block-size:auto}summary{list-style:none}
*{-webkit-print-color-adjust:exact;print-color-adjust:exact}}
"""
