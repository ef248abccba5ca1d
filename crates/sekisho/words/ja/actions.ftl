# いま行うことと、次回に備えて残すもの。コマンドと設定行はプログラム（views/commands.rs）が付けます。

## いま行うこと（$placeはファイルと行、なければ`none`）

action-set-sysctl = `{ $key }`を{ $from }から{ $to }に変更します。`sekisho apply`で適用でき、`sekisho rollback`で元に戻せます。
action-run-sekisho = Sekishoでこのホストを保護します。キューが埋まってきたときにだけ、接続元に実在の証明を求めます。
action-block-network = { $network }をしばらく遮断します。
action-apache-workers = Apacheのワーカー数の上限を、メモリに収まる{ $workers }に下げます{ $place ->
        [none] {""}
       *[other] （{ $place }）
    }。
action-php-children = php-fpmの子プロセス数の上限を、メモリに収まる{ $children }に下げます{ $place ->
        [none] {""}
       *[other] （{ $place }）
    }。
action-nginx-processes = nginxのワーカープロセス数を、メモリに収まる{ $processes }に下げます{ $place ->
        [none] {""}
       *[other] （{ $place }）
    }。
action-add-memory = または、メモリを増設します。全ワーカーを動かすには、マシン全体で{ $memory }が必要です。
action-apache-event = PHPはphp-fpmに任せ、Apacheはevent MPMに切り替えます。待機中の接続がワーカーを占有しなくなり、必要なPHPプロセスも大幅に減ります。
action-keep-alive-shorter = { $server }のキープアライブ時間を{ $from }から{ $to }に短縮します。待機中の接続もワーカーを占有します。
action-more-workers = { $server }のワーカー数の上限を{ $workers }に増やします{ $place ->
        [none] {""}
       *[other] （{ $place }）
    }。メモリには余裕があります。
action-apache-backlog = Apacheのバックログを{ $backlog }にして再起動します{ $place ->
        [none] {""}
       *[other] （{ $place }）
    }。
action-nginx-backlog = nginxのポート{ $port }のバックログを{ $backlog }にして再起動します{ $place ->
        [none] {""}
       *[other] （{ $place }）
    }。
action-systemd-backlog = ポート{ $port }のsystemdソケットのバックログを{ $backlog }にして再起動します。
action-php-backlog = php-fpmのバックログを{ $backlog }にして再起動します{ $place ->
        [none] {""}
       *[other] （{ $place }）
    }。
action-other-backlog = 設定できる場合は、ポート{ $port }の`{ $process }`のバックログを{ $backlog }にして再起動します。
action-look-at-application = ポート{ $port }のアプリケーションの受け入れが遅い理由を調べます。ワーカーは何を待っているでしょうか。
action-look-at-applications = どのアプリケーションの受け入れが遅いのかを調べます。接続が溜まっているのはどのキューでしょうか。
action-look-at-backend = { $server }のバックエンド（待たせているアプリケーションやデータベース）を調べます。
action-look-at-memory = どのプロセスがメモリを使っているかを調べます。
action-request-timeouts = { $server }が遅いクライアントを早めに打ち切るようにします。
action-limit-connections = 送信元あたりの接続数を制限します（Sekishoの設定の[limits]、またはサーバー側の設定）。
action-less-tracking = このサービスへの接続を追跡の対象から外す（`notrack`）か、その手前でフラッドに対処します。テーブルを広げても、満杯になるのが遅くなるだけです。
action-ring-longer = { $interface }の受信リングを{ $ring }に増やします。
action-spread-receive = { $interface }の受信処理を全CPUに分散します（RSS。NICが対応していなければRPS）。
action-look-at-receive = 何がパケット処理のCPU時間を使っているか（ファイアウォールのルール、キャプチャ、ドライバー）を調べます。
action-tell-provider = プロバイダーにフィルタリングを依頼します。回線に入りきらないものは、ここでは対処できません。
action-loosen-limit = { $chain }から次のルールを外すか、送信元ごとに余裕をもって数えるルールに変えます: `{ $rule }`
action-leave-setting = `{ $key }`はそのままで構いません。ここでは影響しません。
action-leave-cookies = SYNクッキーは有効のままにします。
action-set-clock = NTPで時刻を合わせます。

## 次回に備えて残すもの

keep-sysstat = TCPカウンターを含む、1分ごとのsysstatの記録（`systemctl edit sysstat-collect.timer`で`OnCalendar=*:0/1`を指定）。
keep-kernel-log = 再起動後も残るカーネルログ（ディスクに保存するジャーナル）。
keep-capture = パケットのヘッダー（合計2 GBを超えない循環ファイル）。
keep-access-log = タイムゾーン付きの時刻が入ったWebサーバーのアクセスログ。
keep-error-log = Webサーバーのエラーログ。ワーカーが尽きた時刻がわかります。
keep-worker-memory = サーバーが忙しいときの、ワーカー1個あたりのメモリ使用量。
keep-incidents = Sekishoのデーモン。`--mode observe`でも、インシデントごとのカウンターを記録します。
keep-longer = { $source }。より長い期間残すようにします（logrotate、またはsysstatの設定の`HISTORY`）。
keep-doctor-as-root = 発生中にroot権限で実行した`sekisho doctor --report FILE`の結果。キューと送信元は、そのときにしか見られません。
keep-settings = そのときの設定（`sysctl -a`の出力と各サーバーの設定ファイル）。
keep-clock = NTPで合わせた時計と、タイムゾーン付きの時刻が入ったログ。
