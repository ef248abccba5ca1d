# 見出し、表、タイムライン、エラー。

title-now = 現在の診断
title-then = 何が起きたか

about-now = { $host }、{ $at }（{ $zone }）現在。
about-past = { $host }、{ $span }（{ $zone }）。このマシン自身の記録による。
about-incident = { $host }、インシデント{ $number }、{ $span }（{ $zone }）。
about-folder = { $host }、{ $span }（{ $zone }）。{ $folder }のファイルによる。
about-some-host = 名前のわからないマシン
about-no-time = 時刻不明

head-verdict = 結論
head-why = 理由
head-cookies = SYNクッキーとの関係
head-apart = 見分け方
head-now = いま行うこと
head-later = 余裕のあるときに行うこと
head-keep = 次回に備えて残すもの
head-timeline = タイムライン
head-evidence = 根拠
head-refuted = この判断が覆るのは:
head-queues = リスナーごとのキューの余裕
head-unseen = 調べられなかったもの

tone-well = 異常なし
tone-bad = 異常あり
tone-unknown = 判断できません

apart = { $one }か、{ $other }か。
sentence-space = {""}
note-port = ポート{ $port }

rate = 毎秒{ $number }
span = { $from }〜{ $until }

## 調べられなかったもの

unseen = { $source }: { $why }。
unseen-file = { $source }（{ $file }）: { $why }。
gap = { $source }: { $span }の記録がありません（{ $reason }）。
gap-moment = { $source }: { $span }の記録に欠落があります（{ $reason }）。

## キュー

intro-queues = SYNキューがクッキーなしで受け付けられる1秒あたりの新規接続数（クライアントとの往復遅延別）と、キューが満杯のときのメモリ使用量です。
column-listener = リスナー
column-fits = 収容数
column-binds = 上限の決め手
column-beyond = 超過分
column-memory = メモリ
binds-application = アプリケーションのバックログ
binds-somaxconn = somaxconn
binds-max-syn-backlog = tcp_max_syn_backlog
beyond-cookies = クッキー
beyond-lost = 破棄
beyond-unknown = 不明
queue-wanted = { $listener }: バックログは{ $wanted }を推奨します（満杯時のメモリ使用量は{ $memory }）。

## タイムライン

intro-timeline = 各行の数字は最大値（少ないほど問題になるものは最小値）です。英字の説明は下にあります。
row-syns = SYN（毎秒）
row-cookies-sent = 送信クッキー（毎秒）
row-completions = 完了した接続（毎秒）
row-half-open = 半開き接続
row-accept-queue = accept待ち
row-overflows = acceptキュー溢れ（毎秒）
row-segments-in = 受信セグメント（毎秒）
row-requests = リクエスト（毎分）
row-established = 確立済みの接続
row-memory-available = 空きメモリ
row-swap-used = スワップ使用量
row-load = ロードアベレージ
row-workers = ワーカー
row-conntrack = 追跡中の接続
row-softirq = ソフト割り込み（最大のCPU）
row-least = 最小 { $value }
row-summary = { $label }: { $low }〜{ $high }、{ $at }に{ $extreme }
mark = { $at } { $what }
mark-many = { $at } { $what }（{ $count }回）
marks-more = ほか{ $count }件

## レポート

report-made = Sekisho { $version }が{ $at }に作成。

## エラーと対処

error-folder = `{ $folder }`を読めません
hint-folder = `--from`には、/var/logにあるようなファイル（sysstatの記録、kern.log、Webサーバーのログ、パケットキャプチャなど）の入ったフォルダーを指定します
error-folder-empty = `{ $folder }`に、記録として読めるものがありません
error-no-time = 「{ $text }」を時刻として解釈できません
hint-no-time = "2026-11-30 02:00"、02:00、"yesterday 22:00"（"昨日 22:00"）、-3h、now、RFC 3339（2026-11-30T02:00:00+09:00）の形で指定します
error-wrong-order = 終わり（{ $until }）が始まり（{ $from }）より後ではありません
hint-wrong-order = --sinceには早いほうの時刻を指定します
error-future = { $from }はまだ来ていません
hint-future = タイムゾーンのない時刻は現地時刻とみなされます。UTCなら--zone +00:00を指定します
error-report = レポートを`{ $file }`に書き込めません
hint-report = 書き込み権限のある、実在するフォルダー内のファイルを指定します
note-report = レポートを{ $file }に保存しました。
